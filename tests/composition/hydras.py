"""Tiny Hydra LLMs: two vocabularies over one random body."""

from typing import Any

import torch

from franken.composition.hydra import HydraModel, TableRouter
from franken.parts.surgery import take_table
from franken.parts.table import Table
from tests.parts.tiny import tiny_model, tiny_tokenizer

FAMILIES = [("gemma2", True), ("llama", False), ("llama", True), ("gptj", False), ("cohere", True)]
LINEAGE = "a" * 64


def base(family: str, tied: bool, **settings: Any) -> tuple[Any, Table]:
    """A random model with three rows of padding, and its table."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(family, tied=tied, rows=len(tokenizer) + 3, **settings)
    return model, take_table(model, tokenizer, lineage=LINEAGE)


def other_table(table: Table, *, kind: str = "byte_level", size: int = 290, seed: int = 5) -> Table:
    """Random rows for another vocabulary, tied as the first one is."""
    tokenizer = tiny_tokenizer(kind, size=size)
    generator = torch.Generator().manual_seed(seed)

    def rows(like: torch.Tensor | None) -> torch.Tensor | None:
        if like is None:
            return None
        shape = (len(tokenizer) + 2, *like.shape[1:])
        return torch.randn(shape, generator=generator) * 0.2

    first = rows(table.input)
    assert first is not None
    return Table(tokenizer, first, rows(table.output), rows(table.output_bias), table.lineage)


def hydra(family: str = "gemma2", tied: bool = True, **routing: Any) -> tuple[HydraModel, Any]:
    """``en`` (the body's own) and ``xx``; and the plain model that ``en`` came from."""
    model, table = base(family, tied)
    made = HydraModel(
        model, {"en": table, "xx": other_table(table)}, lineage=LINEAGE,
        router=TableRouter(("en", "xx"), default="en", **routing),
    )  # fmt: skip
    return made, model
