"""The Lightning module: hidden states, chunked loss, optimiser."""

import contextlib
import math
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from franken.config.training import Trainable, TrainingConfig
from franken.errors import CompatibilityError, FrankenError
from franken.parts.anatomy import anatomy_of, logit_scale, logit_softcap
from franken.parts.fusion import fusions, turn_adapters
from franken.parts.head_check import check_head
from franken.parts.segmented import segmented
from franken.products import quicker_products
from franken.seeds import derive_seed
from franken.training.ahead import heads_ahead, loss_ahead
from franken.training.batches import PAIRS, Batch, completed, next_tokens, rows_of_rank
from franken.training.loss import chunked_linear_cross_entropy
from franken.training.masks import packed_attention_mask
from franken.training.optimizers import make_optimizer
from franken.training.pair_terms import PairTerms
from franken.training.policy import (
    PolicyReport,
    apply_policy,
    control_rows,
    embedding_parameters,
    frozen_dtype,
    heads_of,
)
from franken.training.schedule import learning_rate
from franken.training.sharding import Fill, is_sharded, like, own_part, own_rows, shard_module
from franken.training.tied import is_shared, look_up


class CausalModule(LightningModule):
    """Next-token training of what a policy left trainable.

    The runner feeds it whole steps, validates and saves. It fits under a plain ``Trainer()`` with
    any data module too: batches are then averaged one by one, Lightning validates, logs
    ``train/loss`` and ``valid/loss`` and saves what trains.

    Args:
        model: causal LM after :func:`~franken.training.policy.apply_policy`.
        policy: what that call returned.
        config: the training phase.
        seed: of dropout; every forward pass derives its own from the step it belongs to, so a
            resumed run needs no generator states.
        first_step: optimiser steps already done.
        mixed: dtype of the forward pass under Lightning's autocast; ``None``: float32.
        anchors: of every trainable parameter the value at the start, for ``config.anchor`` and
            ``config.anchor_l1``.
        importances: of every trainable parameter factors of that pull; ``None``: 1.
        masks: of every trainable parameter which entries move (bool); ``None``: all.
        pairs: the loss of the sentence pairs that some batches bring.
    """

    masked: ClassVar[bool] = False
    """Whether it trains models that guess hidden tokens."""
    leaves_out: ClassVar[bool] = False
    """Whether its loss leaves parameters out that the policy lets train."""
    one_pass: ClassVar[bool] = True
    """Whether a batch goes through the trained model once."""

    def __init__(
        self,
        model: PreTrainedModel,
        policy: PolicyReport,
        config: TrainingConfig,
        *,
        seed: int,
        first_step: int = 0,
        mixed: torch.dtype | None = None,
        anchors: list[Tensor] | None = None,
        importances: list[Tensor] | None = None,
        masks: list[Tensor] | None = None,
        pairs: PairTerms | None = None,
    ) -> None:
        super().__init__()
        self._pairs = pairs
        self._anchors, self._importances = anchors or [], importances or []
        self._masks = masks or []
        self.model = model
        self.config, self.policy = config, policy
        self.seed, self.mixed = seed, mixed
        self.first_step = self.steps_done = first_step
        self.strict_loading = False  # checkpoints hold what trains, not the frozen rest
        self._validated: list[Tensor] = []
        self.last_lr = self.last_loss = self.last_grad_norm = 0.0
        self.measures: dict[str, float] = {}
        """What the training curve shows of the last step beside loss, rate and gradient norm."""
        self.fill: Fill | None = None
        """Brings in, unit by unit, the weights of a model that is to be sharded."""
        self._step_loss: Tensor | None = None
        self._quicker = contextlib.ExitStack()
        anatomy = anatomy_of(model.config)
        if anatomy.masked is not self.masked:
            raise CompatibilityError(
                f"{type(model).__name__} guesses {'hidden' if anatomy.masked else 'next'} tokens, "
                f"which {type(self).__name__} does not train"
            )
        if segmented(model) is None and not anatomy.masked:
            check_head(model)
        self._backbone_path = anatomy.backbone
        self._softcap, self._scale = logit_softcap(model.config), logit_scale(model.config)

    @classmethod
    def for_training(
        cls, model: PreTrainedModel, trainable: Trainable | str, config: TrainingConfig, *,
        tokenizer: Any = None, seed: int = 0,
    ) -> "CausalModule":  # fmt: skip
        """A module ready for ``Trainer().fit``.

        Args:
            model: causal LM of a known family, without adapters; trained in place.
            trainable: what changes: ``embeddings``, ``body``, ``full``, ``lora``, ...
            config: schedule, optimiser, loss.
            tokenizer: says which rows are control tokens, for ``config.freeze_special_rows``.
            seed: of LoRA's initial weights and of dropout.
        """
        policy = apply_policy(
            model, Trainable(trainable), config,
            body_dtype=frozen_dtype(config.body_dtype, model.device.type, False),
            special_rows=control_rows(tokenizer), seed=derive_seed(seed, "lora"),
        )  # fmt: skip
        return cls(model, policy, config, seed=seed)

    # --- forward -------------------------------------------------------------------------------

    @property
    def backbone(self) -> nn.Module:
        """Layers and last norm."""
        return self.model.get_submodule(self._backbone_path)

    def hidden_states(self, batch: Batch) -> Tensor:
        """``(B, L, D)`` states before the output head."""
        rows = self._look_up(batch["input_ids"])
        glue: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.policy.body_dtype == "bfloat16":  # float32 rows enter a bfloat16 body
            rows = rows.to(torch.bfloat16)
            glue = torch.autocast(rows.device.type, dtype=torch.bfloat16)
        segments, positions = batch["segment_ids"], batch["position_ids"]
        if self.config.pack_across_documents:
            segments = (segments > 0).long()
            positions = torch.arange(segments.shape[1], device=rows.device).expand_as(segments)
        with glue:
            output = self.backbone(
                inputs_embeds=rows,
                attention_mask=packed_attention_mask(self.model.config, segments, rows.dtype),
                position_ids=positions,
                use_cache=False,
            )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def forward(self, batch: Batch) -> Tensor:
        """As :meth:`summed_loss`; a sharded model has its weights whole only inside this call."""
        return self.summed_loss(batch)

    def summed_loss(self, batch: Batch) -> Tensor:
        """Negative log-likelihood in nats, summed over the counted positions."""
        across = self.config.pack_across_documents
        targets, hidden = next_tokens(batch, across_documents=across), self.hidden_states(batch)
        loss = self.next_token_loss(hidden, targets)
        if not self.config.ahead or not self.training:
            return loss
        self.measures = {"next_token": float(loss.detach()) / max(1, int((targets >= 0).sum()))}
        further = loss_ahead(self.model, hidden, batch, self._head_loss, across_documents=across)
        return torch.stack([loss, *further]).mean()

    def next_token_loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The same from states ``(B, L, D)`` and the labels ``(B, L - 1)`` of what follows them."""
        hidden, targets = hidden[:, :-1].flatten(0, 1), targets.flatten()
        heads, plain = heads_of(self.model), segmented(self.model) is None
        parts = [
            self._head_loss(hidden, head.weight, targets if plain else head.own(targets), head.bias)
            for head in heads
        ]
        return torch.stack(parts).sum() if len(parts) > 1 else parts[0]

    def _head_loss(
        self, states: Tensor, rows: Tensor, labels: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Summed nats of labels ``(N,)`` after states ``(N, D)``, head rows ``(V, D)``."""
        return chunked_linear_cross_entropy(
            states,
            rows,
            labels,
            bias=bias,
            softcap=self._softcap,
            scale=self._scale,
            chunk_tokens=self.config.loss_chunk_tokens,
            reduction="sum",
            compute_dtype=self.mixed,
        )

    # --- Lightning hooks -----------------------------------------------------------------------

    def configure_model(self) -> None:
        """Shard the model where the strategy shards."""
        if is_sharded(self.trainer):
            layers = self.model.get_submodule(anatomy_of(self.model.config).layers)
            shard_module(self, list(layers.children()), self.fill)
            self.fill = None

    def on_fit_start(self) -> None:
        """Multiply with the quicker library until :meth:`on_fit_end`."""
        self._quicker.enter_context(quicker_products(self))

    def on_fit_end(self) -> None:
        """Layers are themselves again."""
        self._quicker.close()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """The step of the schedule that the batch belongs to.

        Gradients of the step before go here: Lightning drops them after the forward pass, in which
        the chunked loss makes the table's next one.
        """
        self.steps_done = self.first_step + self.trainer.global_step
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()
        if self.policy.trainable is Trainable.adapter:
            turn_adapters(self.model, self.steps_done)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One forward pass; Lightning divides by ``accumulate`` and averages over processes."""
        part = batch_idx % self.config.accumulate
        self._seed_dropout(derive_seed(self.seed, "step", self.steps_done, part, self.global_rank))
        if "loss_weight" not in batch:
            return self._plain_step(completed(batch))  # Lightning has shared the rows out
        batch = rows_of_rank(batch, self.global_rank, self.trainer.world_size)
        whole = self.config.accumulate * self.trainer.world_size
        if self._pairs is not None:
            return self._paired_loss(batch, self._pairs, first=part == 0) * whole
        return self._text_loss(batch) * whole

    def validation_step(self, batch: Batch, batch_idx: int = 0) -> Tensor:
        """``(summed nats, counted positions)`` of one batch, as a float64 pair."""
        batch = completed(batch)
        found = torch.stack([self(batch).double(), self.counted(batch).double()])
        if self.trainer.validating:
            self._validated.append(found.detach())
        return found

    def counted(self, batch: Batch) -> Tensor:
        """What the summed loss of a batch is a sum over: positions."""
        across = self.config.pack_across_documents
        return (next_tokens(batch, across_documents=across) >= 0).sum()

    def on_validation_epoch_end(self) -> None:
        """Log ``valid/loss``, nats per position, where Lightning validates."""
        if self._validated:
            total, count = torch.stack(self._validated).sum(0)
            self._validated = []
            self.log("valid/loss", (total / count.clamp(min=1)).float(), sync_dist=True)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Under a plain Trainer, stop where the schedule ends."""
        if "loss_weight" not in batch:
            done = self.first_step + self.trainer.global_step
            self.trainer.should_stop |= done >= self.config.steps

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Set the learning rate, refuse a lost step before it harms the weights, keep rows."""
        self.last_lr = learning_rate(self.config, self.steps_done)
        for group in optimizer.param_groups:
            group["lr"] = self.last_lr
        loss, self._step_loss = self._step_loss, None
        assert loss is not None
        if self.trainer.world_size > 1:
            loss = self.trainer.strategy.reduce(loss, reduce_op="sum")
        self.last_loss = float(loss)
        if not math.isfinite(self.last_loss):
            raise self._lost("loss", self.last_loss)
        if self._anchors:
            self._pull()
        if self.policy.trainable is Trainable.fusion:
            for place in fusions(self.model):
                place.pull()
        for mask, (_, parameter) in zip(self._masks, self.named_trained(), strict=False):
            if parameter.grad is not None:
                parameter.grad *= like(mask, parameter)
        if self.policy.frozen_rows:
            for parameter in embedding_parameters(self.model):
                if parameter.grad is not None:
                    mine = own_rows(parameter)
                    kept = [r - mine.start for r in self.policy.frozen_rows]
                    kept = [r for r in kept if 0 <= r < mine.stop - mine.start]
                    own_part(parameter.grad)[kept] = 0.0

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the global norm; a gradient that is not finite stops the run here."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        limit = gradient_clip_val or self.config.grad_clip or math.inf
        norm = self._clip(parameters, limit)
        self.last_grad_norm = float(norm)
        if not math.isfinite(self.last_grad_norm) and self.mixed is not torch.float16:
            raise self._lost("gradient norm", self.last_grad_norm)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """State only for what trains; no decay of embeddings, norms and biases."""
        tables = [*embedding_parameters(self.model), *(rows for _, rows in heads_ahead(self.model))]
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                exempt = parameter.ndim < 2 or any(parameter is table for table in tables)
                (plain if exempt else decayed).append(parameter)
        return make_optimizer(
            decayed, plain, self.config,
            fused=self.mixed is not torch.float16,  # Lightning unscales float16 by itself
            sharded=self._trainer is not None and is_sharded(self._trainer),
        )  # fmt: skip

    def trained_weights(self) -> dict[str, Tensor]:
        """The trainable parameters by name, detached, not copied."""
        return {name: parameter.detach() for name, parameter in self.named_trained()}

    def named_trained(self) -> list[tuple[str, nn.Parameter]]:
        """The trainable parameters with their names in the model."""
        return [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Only what trains: frozen weights are in the base model, shards in checkpoints."""
        if self._trainer is not None and is_sharded(self._trainer):
            return {}
        return {f"model.{name}": value for name, value in self.trained_weights().items()}

    # --- inner ---------------------------------------------------------------------------------

    def _look_up(self, ids: Tensor) -> Tensor:
        """Input rows of ids."""
        embedding: Any = self.model.get_input_embeddings()
        alone = self.one_pass and self._pairs is None and segmented(self.model) is None
        if alone and is_shared(embedding, self.model.get_output_embeddings()):
            return look_up(embedding, ids)
        found: Tensor = embedding(ids)
        return found

    def _text_loss(self, batch: Batch) -> Tensor:
        """A batch's share of the step's mean."""
        loss: Tensor = self(batch) * batch["loss_weight"]
        self._note(loss)
        return loss

    def _paired_loss(self, batch: Batch, pairs: PairTerms, *, first: bool) -> Tensor:
        """The same, and the loss of the batch's pairs; what is noted is the text's, if any.

        ``first``: of the step's parts; their measures add up.
        """
        before, self.measures = {} if first else self.measures, {}
        text = self._text_loss(batch) if "input_ids" in batch else None
        if PAIRS not in batch:
            assert text is not None, "a batch has text or pairs"
            return text
        terms = pairs.terms(self.model, batch[PAIRS], narrow=self.policy.body_dtype == "bfloat16")
        for name, term in terms.items():
            share = float(term.detach()) / self.config.accumulate
            self.measures[name] = before.get(name, 0.0) + share
        found = torch.stack(list(terms.values())).sum() / self.config.accumulate
        if text is None:
            self._note(found)
        return found if text is None else text + found

    def _note(self, loss: Tensor) -> None:
        done = loss.detach()
        self._step_loss = done if self._step_loss is None else self._step_loss + done

    def _plain_step(self, batch: Batch) -> Tensor:
        """The mean of one batch: what Lightning accumulates and averages by itself."""
        self._seed_dropout(derive_seed(self.seed, "step", self.steps_done, 0, self.global_rank))
        loss: Tensor = self(batch) / self.counted(batch).clamp(min=1)
        share = loss.detach() / (self.trainer.accumulate_grad_batches * self.trainer.world_size)
        self._step_loss = share if self._step_loss is None else self._step_loss + share
        self.log("train/loss", loss.detach(), prog_bar=True)
        return loss

    def _seed_dropout(self, seed: int) -> None:
        """As ``torch.manual_seed``, without the devices that are not there.

        For those it keeps a stack trace per call, which takes 3 ms.
        """
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _pull(self) -> None:
        """Add the gradients of the pulls towards the start.

        ``anchor / 2 * sum_i F_i (w_i - w_0i)^2``, F is 1 without EWC, and
        ``anchor_l1 / N * sum_i |w_i - w_0i|``.
        """
        moving = [p for p in self.model.parameters() if p.requires_grad]
        by_distance = self.config.anchor_l1 / max(1, self.policy.trained_parameters)
        for index, (parameter, start) in enumerate(zip(moving, self._anchors, strict=True)):
            if parameter.grad is None:
                continue
            moved = parameter.detach() - like(start, parameter)
            pull = moved * self.config.anchor
            if self._importances:
                pull *= like(self._importances[index], parameter)
            if by_distance:
                pull += by_distance * moved.sign()
            parameter.grad += pull.to(parameter.grad.dtype)

    def _clip(self, parameters: list[nn.Parameter], limit: float) -> Tensor:
        norm: Tensor = nn.utils.clip_grad_norm_(parameters, limit)
        whole: Tensor = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return whole

    def _lost(self, what: str, value: float) -> FrankenError:
        return FrankenError(
            f"training diverged: the {what} of step {self.steps_done + 1} of {self.config.steps} "
            f"is {value} at learning rate {self.last_lr:.3g}. The weights before this step and the "
            "last checkpoint are intact. Lower training.*.lr, raise warmup, lower grad_clip, or "
            "use precision fp32 or bf16_mixed."
        )
