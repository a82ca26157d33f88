"""Bring the chat model back into a chat model that was tuned on plain text (ElChat)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from franken.config.root import Config
    from franken.parts.anatomy import anatomy_of
    from franken.parts.body import save_body
    from franken.parts.model import assemble
    from franken.parts.special_rows import with_special_rows
    from franken.parts.table import load_table, save_table
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, require_relatives, write_model
    from franken.training.policy import edge_layers

PARALLEL = 0.9995
"""Cosine above which an arc is as good as its chord."""


class Path(StrEnum):
    """The way from one tensor to the other."""

    slerp = "slerp"
    """An arc on the sphere, each tensor flattened to one vector."""
    linear = "linear"
    """The chord."""


@step
class ElChatStep(Step):
    """Bring a chat model back into what plain text made of it (ElChat).

    Yamaguchi et al. (TMLR 2025, arXiv 2412.11704): the vocabulary of a *chat* model grows, its
    outer layers and tables are tuned on plain text of the language; then the outer layers are
    interpolated with those of the chat model, and control tokens get their rows back. Control
    tokens are matched by role and string, where the release goes by position.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "chat": Part.model}
    model: str = ""
    """The chat model after tuning on text of the language, with any vocabulary."""
    chat: str = ""
    """The chat model as it was."""
    weights: list[float] = field(default_factory=lambda: [0.3, 0.5, 0.5, 0.3])
    """The chat model's share in each outer layer, the lower half of them first; 1 is all of it."""
    path: Path = Path.slerp
    special_rows: bool = True
    """Whether rows of control tokens are the chat model's, in both tables."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.weights or len(self.weights) % 2:
            yield "weights", f"must list as many low layers as high ones, got {self.weights}"
        for weight in self.weights:
            yield from in_range("weights", weight, 0.0, 1.0)

    def key(self, config: Config) -> dict[str, Any]:
        """Shares, path and rows."""
        return {
            "weights": list(self.weights), "path": str(self.path),
            "special_rows": self.special_rows,
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes a body and a table.

        Raises:
            CompatibilityError: where the two are no relatives.
        """
        model_ref, chat_ref = (
            open_model(context.inputs[name], context.store) for name in ("model", "chat")
        )
        lineages = {"model": model_ref.lineage, "chat": chat_ref.lineage}
        require_relatives(context, lineages, "layers are mixed among relatives alone")
        model, tokenizer = assemble(model_ref, merge=True)
        chat, _ = assemble(chat_ref, merge=True)
        moved = mix_edge_layers(model, chat, self.weights, self.path)
        table = load_table(model_ref.table)
        if self.special_rows:
            table = with_special_rows(table, load_table(chat_ref.table))
        save_table(table, context.directory / "table")
        fingerprint = save_body(
            model, context.directory / "body", tokenizer=tokenizer, lineage=model_ref.lineage
        )
        write_model(
            context, body=[HERE, "", "body"], table=[HERE, "", "table"], deltas=[],
            lineage=model_ref.lineage, fingerprint=fingerprint,
        )  # fmt: skip
        rows = table.provenance["special_rows"]["tokens"] if self.special_rows else {}
        return {"special_rows": len(rows), "layers_moved": moved}


def mix_edge_layers(
    model: PreTrainedModel, chat: PreTrainedModel, weights: list[float], path: Path
) -> list[float]:
    """Interpolate outer layers in place, tensor by tensor, in float32.

    Args:
        model: what is changed.
        chat: of the same body.
        weights: share of ``chat`` in each layer: as many of the lowest as of the highest.
        path: how tensors are interpolated.

    Returns:
        How far each layer moved, as a Euclidean norm.

    Raises:
        ConfigError: where there are not so many layers.
    """
    anatomy = anatomy_of(model.config)
    pairs = zip(
        edge_layers(model, anatomy, len(weights) // 2),
        edge_layers(chat, anatomy, len(weights) // 2),
        weights, strict=True,
    )  # fmt: skip
    moved = []
    with torch.no_grad():
        for layer, other, share in pairs:
            theirs = dict(other.named_parameters())
            square = 0.0
            for name, weight in layer.named_parameters():
                before = weight.float()
                after = interpolated(before, theirs[name].float(), share, path)
                square += float((after - before).square().sum())
                weight.copy_(after)
            moved.append(math.sqrt(square))
    return moved


def interpolated(start: Tensor, end: Tensor, share: float, path: Path) -> Tensor:
    """``start`` at share 0, ``end`` at 1; between them on an arc or a chord (Shoemake 1985)."""
    if share in (0.0, 1.0):
        return end if share else start
    cosine = float(torch.dot(start.flatten(), end.flatten()))
    cosine /= max(float(start.norm() * end.norm()), torch.finfo(torch.float32).tiny)
    if path is Path.linear or abs(cosine) > PARALLEL:
        return torch.lerp(start, end, share)
    angle = math.acos(cosine)
    parts = math.sin((1 - share) * angle), math.sin(share * angle)
    return (parts[0] * start + parts[1] * end) / math.sin(angle)
