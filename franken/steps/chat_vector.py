"""Add what instruction tuning changed to a model that was adapted apart (task arithmetic)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, ClassVar

from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    import torch

    from franken.config.root import Config
    from franken.parts.anatomy import anatomy_of
    from franken.parts.body import save_body
    from franken.parts.model import assemble
    from franken.parts.table import load_table, save_table
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, require_relatives, write_model
    from franken.token_map.row_change import with_change


class MovedRows(StrEnum):
    """Which rows of the table move; the paper does not say how tokens that changed are treated."""

    none = "none"
    """None: the difference of the bodies alone."""
    shared = "shared"
    """Those of pieces and control tokens that the base's vocabulary has too."""


@step
class ChatVectorStep(Step):
    """Add what instruction tuning changed to a model that was adapted apart (ChatVector).

    ``model + scale * (chat - base)`` (Huang et al. 2024, arXiv 2310.04799), over all weights of the
    body, and over the rows that ``rows`` names. Sums are float32, cast once.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {
        "model": Part.model, "chat": Part.model, "base": Part.model,
    }  # fmt: skip
    model: str = ""
    """The model of the new language: tuned whole, from ``base``, with any vocabulary."""
    chat: str = ""
    """``base`` after instruction tuning, with its vocabulary."""
    base: str = ""
    scale: float = 1.0
    """Factor of the difference."""
    rows: MovedRows = MovedRows.shared

    def faults(self) -> Iterator[tuple[str, str]]:
        if not math.isfinite(self.scale):
            yield "scale", f"must be a finite number, got {self.scale}"

    def key(self, config: Config) -> dict[str, Any]:
        """The factor and the rows."""
        return {"scale": self.scale, "rows": str(self.rows)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes a body, and a table where rows move.

        Raises:
            CompatibilityError: where the three are no relatives.
        """
        refs = {name: open_model(context.inputs[name], context.store) for name in self.inputs}
        lineages = {name: ref.lineage for name, ref in refs.items()}
        require_relatives(context, lineages, "a difference adds up among relatives alone")
        lineage = refs["model"].lineage
        places = read_places(context.inputs["model"])
        model, tokenizer = assemble(refs["model"], merge=True)
        chat, base = (assemble(refs[name], merge=True)[0] for name in ("chat", "base"))
        norms = _add_to_body(model, chat, base, self.scale)
        fingerprint = save_body(
            model, context.directory / "body", tokenizer=tokenizer, lineage=lineage
        )
        table, moved = places["table"], 0
        if self.rows is MovedRows.shared:
            tables = [load_table(refs[name].table) for name in ("model", "chat", "base")]
            changed, moved = with_change(*tables, scale=self.scale)
            save_table(changed, context.directory / "table")
            table = [HERE, "", "table"]
        write_model(
            context, body=[HERE, "", "body"], table=table, deltas=[], lineage=lineage,
            fingerprint=fingerprint,
        )  # fmt: skip
        return {"scale": self.scale, "rows_moved": moved, **norms}


def _add_to_body(model: Any, chat: Any, base: Any, scale: float) -> dict[str, float]:
    """Add in place; the norms of the difference and of what the adapted model had moved."""
    table = set(anatomy_of(model.config).table_tensors)
    one, other = dict(chat.named_parameters()), dict(base.named_parameters())
    squares = {"chat_norm": 0.0, "adapted_norm": 0.0}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in table:
                continue
            start = other[name].float()
            change = one[name].float() - start
            squares["chat_norm"] += float(change.square().sum())
            squares["adapted_norm"] += float((weight.float() - start).square().sum())
            weight.copy_(weight.float() + scale * change)
    return {name: math.sqrt(value) for name, value in squares.items()}
