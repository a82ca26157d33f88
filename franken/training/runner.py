"""Train a model for one phase: the only place that builds a Lightning trainer."""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.loggers import Logger
from rich.console import Console
from transformers import PreTrainedModel

from franken.config.trainer import Precision, TrainerConfig
from franken.config.training import Trainable, TrainingConfig
from franken.distillation.common.pairing import Pairing
from franken.errors import ArtifactError, ConfigError, DataError, FrankenError
from franken.families.objective import is_masked
from franken.interruption import Interrupted, listening
from franken.parts.label_head import LabelHead
from franken.preference.base import Preference
from franken.seeds import derive_seed
from franken.training.ahead import add_heads, take_off_heads
from franken.training.batches import Batch, StepFeed, completed, count_labels
from franken.training.callbacks import FollowRun, OnLog
from franken.training.checkpoint_tensors import read_weights
from franken.training.checkpoints import CheckpointFolder
from franken.training.distillation import DistillationModule, Teaching
from franken.training.environment import isolated
from franken.training.identity import run_identity
from franken.training.labels import LabelModule, release_head
from franken.training.launching import LeaveWord, launched
from franken.training.layerwise import LayerwiseModule
from franken.training.loggers import close_loggers
from franken.training.loop import TrainingLoop, layers_offloaded
from franken.training.masked import MaskedModule
from franken.training.masking import TokenMasker
from franken.training.module import CausalModule
from franken.training.pair_training import PairTraining, take_off_parts
from franken.training.policy import apply_policy, control_rows, frozen_dtype
from franken.training.preference import PreferenceModule, count_pairs
from franken.training.progress import StepLines, StepProgress
from franken.training.reference import reference_log_likelihoods
from franken.training.starting_weights import importances, masks_of_shield
from franken.training.state import RunState, TrainingReport, make_report
from franken.training.team import SharedFeed, Team, environment_of, losing

log = logging.getLogger(__name__)

_MIXED = {Precision.bf16_mixed: torch.bfloat16, Precision.fp16_mixed: torch.float16}


def train_model(
    model: PreTrainedModel,
    tokenizer: Any,
    datamodule: Any,
    config: TrainingConfig,
    trainable: Trainable,
    trainer: TrainerConfig,
    *,
    work_dir: Path,
    seed: int,
    loggers: Sequence[Logger] | None = None,
    on_log: OnLog | None = None,
    earlier: Sequence[Any] = (),
    preference: Preference | None = None,
    masks: Mapping[str, torch.Tensor] | None = None,
    teaching: Teaching | None = None,
    head: LabelHead | None = None,
    pairs: PairTraining | None = None,
) -> TrainingReport:
    """Train ``model`` in place; killed and called again with equal arguments, it continues.

    On a CPU the continued run ends with the same bits as an undisturbed one.

    Args:
        model: causal LM of a known family, without adapters. With ``lora`` adapters are inserted.
        tokenizer: says which rows are control tokens (``freeze_special_rows``); may be ``None``.
        datamodule: gives ``train_dataloader`` and ``val_dataloader`` of fixed-form batches (see
            ``batches.py``) and the exact position by ``state_dict``/``load_state_dict``.
        config: schedule, batch shape, selection.
        trainable: what changes.
        trainer: where it runs. Only ``precision`` and ``threads`` can change the result.
        work_dir: resumable checkpoints live in its ``checkpoints`` folder.
        seed: of LoRA's initial weights and of dropout; everything is derived from it.
        loggers: Lightning loggers; closed at the end.
        on_log: called with every point of the training curve.
        earlier: data modules of what was learnt before, for ``config.anchor_examples``.
        preference: tune on pairs of answers, which a ``PreferenceDataModule`` gives, instead of
            next tokens. The reference model is ``model`` as it is now.
        masks: name of every trained parameter -> which of its entries move (bool); ``None``: all.
        teaching: a teacher whose view of the same text is learnt beside the next tokens.
        head: on the model's body; labels are learnt instead of hidden tokens, from batches of a
            ``LabelledDataModule``. The head trains whatever else does.
        pairs: a loss on sentence pairs, and these, which some of the steps read.

    Returns:
        The report; the model is left in ``eval`` mode with gradients as they were, trained
        parameters in float32.

    Raises:
        FrankenError: the loss or the gradient norm is not finite.
    """
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    try:
        held = contextlib.nullcontext() if head is None else head.held_by(model)
        with isolated(trainer.threads), held:
            run = _Run(
                model, tokenizer, datamodule, config, trainable, trainer, work_dir, seed, earlier,
                preference, masks, teaching, head, pairs,
            )  # fmt: skip
            run.fit(list(loggers or []), on_log)
            return run.finish()
    finally:
        close_loggers(loggers or [])
        take_off_heads(model)
        take_off_parts(model)
        model.eval()
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point():  # quantised weights never train
                parameter.requires_grad_(wanted.get(name, False))


class _Run:
    """One call of :func:`train_model`."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Any,
        datamodule: Any,
        config: TrainingConfig,
        trainable: Trainable,
        trainer: TrainerConfig,
        work_dir: Path,
        seed: int,
        earlier: Sequence[Any] = (),
        preference: Preference | None = None,
        masks: Mapping[str, torch.Tensor] | None = None,
        teaching: Teaching | None = None,
        head: LabelHead | None = None,
        pairs: PairTraining | None = None,
    ) -> None:
        check_shape(config, trainer)
        if preference is not None and config.pack_across_documents:
            raise ConfigError(
                "training.pack_across_documents would let a rejected answer read the chosen one; "
                "set it to false for preference tuning"
            )
        self.model, self.datamodule, self.config, self.trainer = model, datamodule, config, trainer
        self.seed = derive_seed(seed, "training")
        self.mixed = _MIXED.get(trainer.precision)
        self.sharded = trainer.strategy == "fsdp"
        if self.sharded and config.quantises(trainable):
            raise ConfigError(
                f"training.body_dtype={config.body_dtype} is not there for trainer.strategy=fsdp, "
                "which shares out weights of 16 or 32 bits; take trainer.strategy=ddp"
            )
        if trainer.offload and config.quantises(trainable):
            raise ConfigError(
                f"trainer.offload is there for weights of 16 or 32 bits, and training.body_dtype="
                f"{config.body_dtype} asks for fewer; choose one of the two"
            )
        self.policy = apply_policy(
            model,
            trainable,
            config,
            body_dtype=frozen_dtype(
                config.body_dtype, trainer.device, trainer.precision is Precision.bf16_mixed
            ),
            special_rows=control_rows(tokenizer),
            seed=derive_seed(self.seed, "lora"),
        )
        self.head = head
        if head is not None:
            release_head(head, model, self.policy)
        masked = is_masked(model.config)
        hides = masked and head is None
        self.masker = TokenMasker.of(tokenizer, config.masking) if hides else None
        self.preference, self.teaching = preference, teaching
        if config.ahead:
            self._refuse_ahead(masked)
            add_heads(model, config.ahead)
        self.pairs = pairs
        if pairs is not None:
            if preference or teaching:
                raise ConfigError(
                    "pair_loss is there for text and labels: not with preference or distillation"
                )
            pairs.refuse(model, trainer)
            pairs.add_parts(model, derive_seed(self.seed, "pairs"))
            pairs.begin(model, trainer.device)
        by_layers = teaching is not None and teaching.distillation.by_layers
        self.pairing = None
        if teaching is not None and not by_layers:
            self.pairing = Pairing(tokenizer, teaching.tokenizer)
        if teaching is not None and by_layers:
            self._refuse_layers(masked, tokenizer, teaching)
        if teaching is not None and self.sharded:
            raise ConfigError(
                "distillation reads the head's rows whole, so trainer.strategy=fsdp is not there "
                "for it; train on one device, or with trainer.strategy=auto"
            )
        if masked and (preference or (teaching and not by_layers) or config.anchor_examples):
            raise ConfigError(
                "a masked language model is not tuned on pairs of answers, nor anchored by "
                "examples, nor taught by another but by layers (distillation=bistil); leave "
                "preference out and set training.anchor_examples=0"
            )
        self.anchors = [
            p.detach().clone() for p in model.parameters()
            if (config.anchor or config.anchor_l1) and p.requires_grad
        ]  # fmt: skip
        self.masks = [] if masks is None else self._masks_of(masks)
        if config.shield.share:
            self._refuse_shield()
            self.masks = masks_of_shield(
                self._module(model), self.policy.names, config.shield, earlier, self.seed,
                trainer.device,
            )  # fmt: skip
        self.importances = [] if not config.anchor_examples else importances(
            self._module(model), self.anchors, earlier, config.anchor_examples, trainer.device
        )  # fmt: skip
        identity = run_identity(
            model, self.policy, config, trainer.precision, seed, preference=preference,
            masks=self.masks,
            distillation=None if teaching is None else teaching.distillation,
            pairs=None if pairs is None else pairs.content(),
        )  # fmt: skip
        if preference is not None:
            self._take_reference(Path(work_dir) / "reference", identity)
        self.folder = CheckpointFolder(Path(work_dir) / "checkpoints", identity)
        self.saved = self.folder.newest()
        self.state = RunState()
        if self.saved is not None:
            self._restore()
            log.info("continuing at step %d of %d", self.state.step, config.steps)
        self.resumed_at = self.state.step

    def fit(self, loggers: list[Logger], on_log: OnLog | None) -> None:
        """Do the steps that are left."""
        config, saved = self.config, self.saved or {}
        left = config.steps - self.state.step
        if left <= 0:
            return
        self.datamodule.prepare_data()
        self.datamodule.setup("fit")
        feed: Any = StepFeed(
            self.datamodule,
            steps=left,
            accumulate=config.accumulate,
            across_documents=config.pack_across_documents,
            state=saved.get("feed"),
            count=self._count(),
            prepare=self._prepare(self.state.step),
            pairs=self.pairs,
            first_step=self.state.step,
        )
        team = Team.current if self.trainer.processes > 1 else None
        feed = feed if team is None else SharedFeed(feed)
        follow = FollowRun(
            self.state, feed, self.folder, self._validation_batches(), saved=self.saved,
            on_log=on_log,
        )  # fmt: skip
        self.saved = None
        module = self._module(
            self.model,
            first_step=self.state.step,
            anchors=self.anchors,
            importances=self.importances,
            masks=self.masks,
        )
        loop = TrainingLoop(module, feed, follow, self.trainer, left, self.folder.directory)
        callbacks: list[pl.Callback] = []
        console = Console(stderr=True)
        if self.trainer.progress:
            bar = console.is_terminal
            callbacks.append(
                StepProgress(config.steps, console) if bar else StepLines(config.steps)
            )
        environment: ClusterEnvironment | None = None
        if team is not None:
            environment = environment_of(team.place)
            loop = team.share(loop, sharded=self.sharded)
        elif self.trainer.processes > 1:
            callbacks.append(LeaveWord(self.folder.directory))
        processes = self.trainer.processes
        with listening() as stop:
            try:
                with launched(self.folder.directory, processes), losing(processes):
                    loop.run(callbacks, loggers, environment)
            except (FrankenError, SystemExit) as error:
                if stop.number is None:
                    raise
                raise Interrupted(stop.number) from error  # it came before the first step

    def finish(self) -> TrainingReport:
        """Bring the weights to return into the model."""
        if self.state.step < self.config.steps or self.sharded:
            # the steps were done elsewhere: in processes of their own, or on shards
            self.saved = self.folder.newest()
            if self.saved is None or self.saved["step"] < self.config.steps:
                raise FrankenError(
                    f"training stopped before step {self.config.steps}; "
                    "run again to continue from the last checkpoint"
                )
            self._restore()
        best = self.state.best_step
        if best is not None and best != self.state.step:
            chosen = self.folder.load("best", best)
            if chosen is None:
                raise ArtifactError(
                    f"the selected weights of step {best} in {self.folder.directory} are missing "
                    "or damaged; remove that directory and run again"
                )
            read_weights(chosen, dict(self.model.named_parameters()))
        return make_report(self.state, self.policy.to_json(), self.resumed_at)

    def _module(self, model: PreTrainedModel, **options: Any) -> CausalModule:
        options |= {"seed": self.seed, "mixed": self.mixed, "pairs": self.pairs}
        if self.head is not None:
            return LabelModule(model, self.policy, self.config, head=self.head, **options)
        if self.masker is not None and self.teaching is not None:
            return LayerwiseModule(
                model, self.policy, self.config, masker=self.masker, teaching=self.teaching,
                **options,
            )  # fmt: skip
        if self.masker is not None:
            return MaskedModule(model, self.policy, self.config, masker=self.masker, **options)
        if self.teaching is not None and self.pairing is not None:
            return DistillationModule(
                model, self.policy, self.config, teaching=self.teaching, pairing=self.pairing,
                **options,
            )  # fmt: skip
        if self.preference is None:
            return CausalModule(model, self.policy, self.config, **options)
        return PreferenceModule(
            model, self.policy, self.config, preference=self.preference, **options
        )

    def _count(self) -> Callable[[Batch], int] | None:
        if self.masker is not None or self.head is not None:
            return count_labels
        return None if self.preference is None else count_pairs

    def _prepare(self, first_step: int) -> Callable[[Batch, int, int], Batch] | None:
        masker, pairing = self.masker, self.pairing
        if pairing is not None:
            return lambda batch, step, part: pairing.pair(batch)
        if masker is None:
            return None
        return lambda batch, step, part: masker.hide(
            batch, derive_seed(self.seed, "mask", first_step + step, part)
        )

    def _take_reference(self, directory: Path, identity: str) -> None:
        """Before the weights of a checkpoint come in: the reference is the model as it began."""
        self.datamodule.prepare_data()
        self.datamodule.setup("fit")
        module = self._module(self.model)
        assert isinstance(module, PreferenceModule)
        with layers_offloaded(self.model, self.trainer):
            self.datamodule.reference = reference_log_likelihoods(
                module, self.datamodule, directory, identity, self.trainer.device
            )

    def _refuse_ahead(self, masked: bool) -> None:
        if masked or self.preference or self.teaching or self.sharded:
            raise ConfigError(
                "training.ahead is there for causal models that learn text alone, unsharded: not "
                "with preference or distillation, not for masked models; set it to 0"
            )

    def _masks_of(self, masks: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Of all that trains; a head has none of its own, all of it moves."""
        free = {} if self.head is None else self.head.parameters()
        own = dict(self.model.named_parameters())
        whole = {id(p): torch.ones_like(p, dtype=torch.bool) for p in free.values()}
        return [
            masks[name] if name in masks else whole[id(own[name])] for name in self.policy.names
        ]

    def _refuse_layers(self, masked: bool, tokenizer: Any, teaching: Teaching) -> None:
        same = teaching.tokenizer.get_vocab() == tokenizer.get_vocab()
        if not (masked and is_masked(teaching.teacher.config) and same):
            found = "one of these is causal" if same else "the teacher has another vocabulary"
            raise ConfigError(
                f"distillation={teaching.distillation.name} compares layers of masked models of "
                f"one vocabulary, but {found}; thin the teacher, or take distillation=alm"
            )

    def _refuse_shield(self) -> None:
        if self.masks or self.preference or self.masker or self.head:
            raise ConfigError(
                "training.shield is there for causal models that learn text, without masks of "
                "their own; set training.shield.share=0"
            )

    def _restore(self) -> None:
        assert self.saved is not None
        self.state = RunState(**self.saved["state"])
        read_weights(self.saved, dict(self.model.named_parameters()))

    def _validation_batches(self) -> list[Batch]:
        """Drawn once, so that every validation sees the same."""
        loader = self.datamodule.val_dataloader()
        batches = list(islice(loader, self.config.validation_batches)) if loader else []
        batches = [completed(batch) for batch in batches]
        if self.masker is not None:
            batches = [
                self.masker.hide(batch, derive_seed(self.seed, "mask", "valid", at))
                for at, batch in enumerate(batches)
            ]
        if self.config.validate_every and not batches:
            raise DataError(
                f"training.validate_every={self.config.validate_every} asks for selection by "
                "validation loss, but the data hold no validation text; set it to 0 or add some"
            )
        return batches


def check_shape(config: TrainingConfig, trainer: TrainerConfig) -> None:
    """Sequences of a forward pass must split over the processes."""
    processes = trainer.processes
    rows = config.batch_size // config.accumulate
    if rows % processes:
        raise ConfigError(
            f"training.batch_size={config.batch_size} over accumulate={config.accumulate} gives "
            f"{rows} sequences per forward pass, which {processes} processes cannot share evenly"
        )
