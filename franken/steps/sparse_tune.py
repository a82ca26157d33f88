"""Tune few weights, those that a full tuning moved most; their difference is a pack (LT-SFT)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import at_least, in_range
from franken.config.data import DataConfig
from franken.config.training import BESIDE_BODY, Trainable, TrainingConfig
from franken.data import open_data
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import precision_of, split_of, training_options

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from franken.config.root import Config
    from franken.data.source import DataSource
    from franken.parts.forms import Form, SparseForm, ZeroForm
    from franken.parts.label_head import put_head, save_head
    from franken.parts.model import ModelRef, assemble
    from franken.parts.weights import StoredWeights
    from franken.seeds import derive_seed
    from franken.skillpack.extract import pack_forms
    from franken.steps.common.context import StepContext
    from franken.steps.common.labelled import check_labelled, labelled_batches
    from franken.steps.common.models import open_model, require_relatives
    from franken.steps.pack import pack_facts
    from franken.steps.train import fit, train
    from franken.training.lottery import largest_together, random_together
    from franken.training.policy import apply_policy

LEAST_CHANGE = 1e-7
"""Smaller changes are left out, as the authors do."""


class Selection(StrEnum):
    """How the weights that may move are chosen."""

    lottery = "lottery"
    """Those that ``explored`` moved most, over all tensors together."""
    random = "random"
    """As many, by chance: the control."""


@step
class SparseTuneStep(Step):
    """Tune few weights, those that a full tuning moved most; their difference is a pack (LT-SFT).

    The second phase of Ansell et al. (ACL 2022, arXiv 2110.07560); the first is a ``train`` step
    (``explored``). Training begins anew at ``model``. If that carries packs, such as a language's,
    they act while it trains, and the difference is said of the model without them: ``graft`` adds
    it to the same packs or to others.
    """

    output: ClassVar[Part] = Part.pack
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "explored": Part.model}
    model: str = ""
    """Where both phases begin."""
    explored: str | None = None
    """``model`` after the first phase: tuned whole."""
    select: Selection = Selection.lottery
    share: float = 0.08
    """Of the weights that ``trainable`` names, how many move."""
    count: int | None = None
    """The same as a number (the paper's K); ``null``: ``share`` counts."""
    bits: int = 16
    """Of a stored change: 32 or 16 (floats), or 1 to 8 in groups."""
    trainable: Trainable = Trainable.body
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    task: str | None = None
    """Of masked models: learn the labels of this evaluation set, in the place of ``split``. The
    head is tuned and kept in full, and goes where the pack is grafted."""
    languages: list[str] | None = None
    """Of the labelled texts; ``null``: the source language."""
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("share", self.share, 0.0, 1.0)
        yield from at_least("count", self.count, 1)
        if self.bits not in (16, 32) and not 1 <= self.bits <= 8:
            yield "bits", f"must be 32, 16, or 1 to 8; got {self.bits}"
        if self.trainable in BESIDE_BODY:
            yield "trainable", f"must name weights of the model (body, full), not {self.trainable}"
        if self.select is Selection.lottery and self.explored is None:
            yield "explored", "is missing: the tuned model whose change says which weights move"
        if self.training.weight_decay:
            yield "training.weight_decay", "would move weights outside the mask; set it to 0"

    def capabilities(self) -> tuple[str, ...]:
        """A pack goes by tensor names."""
        return ("packs",)

    def key(self, config: Config) -> dict[str, Any]:
        """What may move, how it is tuned, and on what."""
        return {
            "select": str(self.select), "share": self.share, "count": self.count,
            "bits": self.bits, "trainable": str(self.trainable),
            "training": training_options(self.training), "precision": precision_of(config),
            **self._learnt(),
        }  # fmt: skip

    def _learnt(self) -> dict[str, Any]:
        if self.task is None:
            return {"data": split_of(self.data, self.split)}
        return {
            "task": self.task, "languages": self._languages(),
            "data": open_data(self.data).fingerprint(),
        }  # fmt: skip

    def _languages(self) -> list[str]:
        return self.languages or [self.data.source_language]

    def check(self, data: DataSource) -> None:
        """The set is one of labels.

        Raises:
            ConfigError: where it is none, or not there.
            DataError: where a language is missing.
        """
        if self.task is not None:
            check_labelled(data, self.task, self._languages())

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the pack into the folder ``pack``.

        Raises:
            CompatibilityError: where ``explored`` is no relative of ``model``.
        """
        ref = open_model(context.inputs["model"], context.store)
        model, tokenizer = assemble(ref, merge=True)
        names = apply_policy(model, self.trainable, self.training).names
        weights = {name: p for name, p in model.named_parameters() if name in set(names)}
        start = {name: weight.detach().clone() for name, weight in weights.items()}
        masks = _masks(self, context, ref, start)
        report = self._tune(context, model, tokenizer, masks)
        forms = {
            name: _form(weights[name].detach() - start[name], masks[name], self.bits)
            for name in names
        }
        base = StoredWeights.of_parts(ref.body, ref.table)
        pack = pack_forms(
            base, forms, context.directory / "pack", name=context.name, lineage=ref.lineage,
            skipped=sorted(set(base.names()) - set(forms)),
            policy={"name": f"lt_sft_{self.select}"},
        )  # fmt: skip
        moved = sum(getattr(form, "nnz", 0) for form in forms.values())
        return {**pack_facts(pack), "moved": moved, "training": report}

    def _tune(
        self, context: StepContext, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase,
        masks: dict[str, Tensor],
    ) -> dict[str, Any]:  # fmt: skip
        """Train in place; a head is written into the folder ``head``."""
        if self.task is None:
            return fit(
                model, tokenizer, context, data=self.data, split=self.split,
                training=self.training, trainable=self.trainable, masks=masks,
            )  # fmt: skip
        batches, labels = labelled_batches(
            open_data(self.data), self.task, self._languages(), model, tokenizer, self.training,
            context.seed,
        )  # fmt: skip
        head = put_head(model, labels, seed=derive_seed(context.seed, "head"))
        report = train(
            model, tokenizer, context, batches, training=self.training, trainable=self.trainable,
            masks=masks, head=head,
        )  # fmt: skip
        save_head(head, context.directory / "head")
        head.release()
        return report


def _masks(
    step: SparseTuneStep, context: StepContext, ref: ModelRef, start: dict[str, Tensor]
) -> dict[str, Tensor]:
    total = sum(weight.numel() for weight in start.values())
    count = step.count if step.count is not None else round(step.share * total)
    if step.select is Selection.random:
        generator = torch.Generator().manual_seed(derive_seed(context.seed, "mask"))
        shapes = {name: tuple(weight.shape) for name, weight in start.items()}
        return random_together(shapes, count, generator)
    other = open_model(context.inputs["explored"], context.store)
    lineages = {"the model": ref.lineage, "explored": other.lineage}
    require_relatives(context, lineages, "name a tuning of the model itself")
    tuned = dict(assemble(other, merge=True)[0].named_parameters())
    for name, weight in start.items():
        if name not in tuned or tuned[name].shape != weight.shape:
            raise CompatibilityError(
                f"step {context.name!r}: {name!r} is {tuple(weight.shape)} in the model and "
                f"{tuple(tuned[name].shape) if name in tuned else 'missing'} in explored; name a "
                "tuning of the model with its own vocabulary"
            )
    changes = {name: tuned[name].detach().float() - weight for name, weight in start.items()}
    return largest_together(changes, count)


def _form(change: Tensor, mask: Tensor, bits: int) -> Form:
    """The change at the places of the mask; smaller ones than ``LEAST_CHANGE`` left out."""
    flat = change.flatten()
    places = torch.nonzero(mask.flatten() & (flat.abs() >= LEAST_CHANGE)).flatten()
    if not len(places):
        return ZeroForm(tuple(change.shape))
    return SparseForm.encode(tuple(change.shape), places, flat[places], bits=bits)
