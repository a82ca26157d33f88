"""Compress the difference of two models into a SkillPack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar

from franken.config.data import DataConfig
from franken.config.pack import PackConfig, Rounding, operator_of
from franken.data import open_data
from franken.errors import CompatibilityError, DataError
from franken.lazy import later
from franken.pack_operator.base import RowUse
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import options, split_of

with later():
    import torch

    from franken.config.root import Config
    from franken.data.encoding import RecordEncoder
    from franken.parts.model import ModelRef, assemble
    from franken.parts.skillpack import SkillPack
    from franken.parts.table import load_table
    from franken.parts.weights import LoadedWeights, StoredWeights, Weights
    from franken.skillpack.calibration import input_moments
    from franken.skillpack.extract import pack_difference
    from franken.skillpack.language import pack_language
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, require_relatives
    from franken.token_map.storage import load_map


@step
class PackStep(Step):
    """Compress the difference of two models into a SkillPack."""

    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.pack
    inputs: ClassVar[dict[str, Part]] = {
        "base": Part.model, "tuned": Part.model, "initial": Part.model,
    }  # fmt: skip
    base: str = ""
    tuned: str = ""
    initial: str | None = None
    """A language pack: the ``initialise`` step whose token map led from the base's vocabulary to
    the tuned model's."""
    pack: PackConfig = field(default_factory=PackConfig)
    data: DataConfig | None = None
    """Calibration text of GPTQ."""
    split: str = "instructions"

    def capabilities(self) -> tuple[str, ...]:
        """A pack goes by tensor names."""
        return ("packs",)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.pack.quant.method is Rounding.gptq and self.data is None:
            yield "data", "is missing: pack.quant.method=gptq calibrates on text"
        if self.pack.quant.method is Rounding.gptq and self.initial is not None:
            yield "pack.quant.method", "gptq is not there for language packs; choose rtn"
        for label, rule in self.pack.classes.items() if self.initial is not None else ():
            if rule.match == ".*" or "table" in rule.match.split("|"):
                if operator_of(rule).rows is RowUse.none:
                    yield (
                        f"pack.classes.{label}.op",
                        f"{rule.op} would give new rows of a language pack a sign, too; choose "
                        "prune, dare, lowrank, dense or skip for tables",
                    )
                break  # the first class that matches is the one

    def key(self, config: Config) -> dict[str, Any]:
        """Text counts where GPTQ calibrates on it."""
        content = {"pack": options(self.pack, "name")}
        if self.pack.quant.method is Rounding.gptq and self.data is not None:
            content["data"] = split_of(self.data, self.split)
        return content

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the pack into the folder ``pack``.

        Raises:
            CompatibilityError: where the base carries deltas, or the two are no relatives.
        """
        base = open_model(context.inputs["base"], context.store)
        tuned = open_model(context.inputs["tuned"], context.store)
        if base.deltas:
            raise CompatibilityError(
                f"step {context.name!r}: the base carries a delta; a pack is made on a plain model"
            )
        lineages = {"base": base.lineage, "tuned": tuned.lineage}
        require_relatives(context, lineages, "a pack is the difference of relatives")
        if self.initial is not None:
            pack = _language(self, context, base, tuned)
        else:
            hessians = None
            if self.pack.quant.method is Rounding.gptq:
                hessians = _calibrate(self, tuned)
            pack = pack_difference(
                _weights(base), _weights(tuned), self.pack, context.directory / "pack",
                name=context.name, lineage=base.lineage, hessians=hessians,
            )  # fmt: skip
        return pack_facts(pack)


def pack_facts(pack: SkillPack) -> dict[str, Any]:
    """What reports say of a pack."""
    size = pack.manifest["size"]
    changed = size.get("changed_bytes", size["dense_bytes"])
    return {
        "bytes": pack.bytes_count, "changed_bytes": changed,
        "ratio": pack.bytes_count / max(changed, 1), "relF": pack.manifest.get("relF"),
        "policy": pack.manifest["policy"].get("name"),
    }  # fmt: skip


def _weights(ref: ModelRef) -> Weights:
    if not ref.deltas:
        return StoredWeights.of_parts(ref.body, ref.table)
    model, _ = assemble(ref, merge=True)
    return LoadedWeights(model)


def _language(step: PackStep, context: StepContext, base: ModelRef, tuned: ModelRef) -> SkillPack:
    return pack_language(
        StoredWeights.of_parts(base.body, base.table), _weights(tuned),
        load_table(base.table), load_table(tuned.table),
        load_map(context.inputs["initial"].path / "token_map"), step.pack,
        context.directory / "pack", name=context.name,
    )  # fmt: skip


def _calibrate(step: PackStep, tuned: ModelRef) -> dict[str, torch.Tensor]:
    model, tokenizer = assemble(tuned, merge=True)
    assert step.data is not None
    encoder, quant = RecordEncoder(tokenizer, str(step.data.chat)), step.pack.quant
    wanted = step.data.mixtures[step.split].tasks
    records = [
        record
        for _, record in zip(
            range(quant.calibration_records * (1 if wanted is None else 8)),
            open_data(step.data).instructions(), strict=False,
        )
        if wanted is None or record.task in wanted
    ]  # fmt: skip
    encoded = encoder.encode(records[: quant.calibration_records], quant.calibration_tokens)
    texts = [item.ids.tolist() for item in encoded if item is not None]
    if not texts:
        raise DataError(
            f"data.mixtures.{step.split} gives no text to calibrate on among the first "
            "instructions; choose another split, or pack.quant.method=rtn"
        )
    return input_moments(model, texts)
