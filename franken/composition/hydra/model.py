"""A Hydra LLM: one body and any number of named tables (Trans-Tokenization 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.composition.hydra.routing import Segment, TableRouter, check_segments, check_table_name
from franken.decoding.ends import Ends, stop_ids
from franken.errors import CompatibilityError, DataError
from franken.parts.control_tokens import ControlTokens
from franken.parts.segmented import Layout, TableModule, table_module, view_of
from franken.parts.table import Table
from franken.tokenizer.text_ids import continuations, opening_ids, text_ids


class HydraModel(nn.Module):
    """One body whose vocabulary is chosen per segment for reading, and once for writing."""

    def __init__(
        self,
        body: PreTrainedModel,
        tables: Mapping[str, Table],
        *,
        lineage: str,
        router: TableRouter | None = None,
        previous: ControlTokens | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Args: as follows.

        Args:
            body: a causal language model; its own vocabulary is not used.
            tables: name -> rows, all of the body's ancestry.
            lineage: fingerprint of the base body that the body descends from.
            router: how texts find tables; default: by name, the first table for all others.
            previous: what the special-token ids in the body's configs mean.
            dtype: number format of the rows; default: the body's.

        Raises:
            CompatibilityError: for no table at all, one that was made for another base, or a name
                that cannot be that of a table.
        """
        super().__init__()
        if not tables:
            raise CompatibilityError("tables={}: a Hydra LLM needs at least one table")
        self.body = body
        self.lineage = lineage
        self.previous = previous
        self.row_dtype = dtype or body.dtype
        self.tables: dict[str, TableModule] = {}
        self._modules["rows"] = nn.ModuleDict()
        for name, table in tables.items():
            self._put(name, table)
        names = tuple(self.tables)
        self.router = router or TableRouter(names, default=names[0])
        if set(self.router.tables) != set(names):
            raise CompatibilityError(
                f"the router knows the tables {', '.join(self.router.tables)}, "
                f"the model has {', '.join(names)}"
            )
        self.eval()

    def add(
        self,
        name: str,
        table: Table,
        *,
        languages: Sequence[str] = (),
        scripts: Sequence[str] = (),
    ) -> None:
        """One more table; nothing else changes.

        Args:
            name: of the new table.
            table: the rows.
            languages: languages and tags that go to it beside its own name.
            scripts: Unicode scripts that go to it.

        Raises:
            CompatibilityError: where the name is taken or no plain name, the table is of another
                base, or a language or script goes to another table already.
        """
        if name in self.tables:
            raise CompatibilityError(
                f"this Hydra LLM has a table {name!r} already; choose another name"
            )
        router = self.router.with_table(name, languages=languages, scripts=scripts)
        self._put(name, table)
        self.router = router

    def _put(self, name: str, table: Table) -> None:
        check_table_name(name)
        if table.lineage != self.lineage:
            raise CompatibilityError(
                f"table {name!r} was made for base body {table.lineage[:12]}, but this body "
                f"descends from {self.lineage[:12]}; a table only fits bodies of its own base"
            )
        module = table_module(self.body, table, dtype=self.row_dtype)
        self.tables[name] = module
        rows = self._modules["rows"]
        assert isinstance(rows, nn.ModuleDict)
        key = name.replace(".", "_dot_")  # a module's name has no dot
        while key in rows:
            key += "_"
        rows[key] = module

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables, in order."""
        return tuple(self.tables)

    @property
    def device(self) -> torch.device:
        """Where the body is."""
        return self.body.device

    def view(self, write: str, read: Sequence[str] = (), *, joint: bool = False) -> "View":
        """The model that reads some tables and writes one; shares all weights with the others.

        Args:
            write: the table that gives logits; it can always be read too.
            read: further tables to read.
            joint: keep the common space of ids even where there is one table (for training).

        Raises:
            CompatibilityError: for an unknown name.
        """
        order = dict.fromkeys([write, *read])
        chosen = {self.router.check(name): self.tables[name] for name in order}
        model = view_of(self.body, chosen, previous=self.previous, joint=joint)
        return View(model.eval(), chosen)


@dataclass(frozen=True)
class View:
    """One way to use a Hydra LLM.

    Attributes:
        model: reads ids of the common space, gives logits over the written table.
        tables: name -> rows, the written one first.
    """

    model: PreTrainedModel
    tables: dict[str, TableModule]

    @cached_property
    def layout(self) -> Layout:
        """The common space of ids."""
        return Layout(tuple(self.tables), tuple(t.rows for t in self.tables.values()))

    @property
    def write(self) -> str:
        """Name of the written table."""
        return next(iter(self.tables))

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The written table's: it decodes whatever is generated."""
        return self.tables[self.write].tokenizer

    @cached_property
    def ends(self) -> Ends:
        """What ends a text of the written table."""
        return Ends(stop_ids(self.tokenizer, self.model))

    @property
    def writable(self) -> int:
        """Ids that may be generated: those of the written table's tokens."""
        return self.tables[self.write].tokens

    def encode(self, segments: Sequence[Segment | tuple[str, str]]) -> list[int]:
        """Ids of a mixed sequence: what opens a text of the first table, then the segments.

        Each is encoded by its own tokenizer. No token spans a border; a tokenizer's automatic word
        start is left out after the first segment.

        Raises:
            CompatibilityError: for a table that this view does not read.
            DataError: for an empty segment, or one that has no token.
        """
        listed = [s if isinstance(s, Segment) else Segment(*s) for s in segments]
        ids: list[int] = []
        for place, segment in enumerate(check_segments(listed)):
            if segment.table not in self.tables:
                raise CompatibilityError(
                    f"this view reads {', '.join(self.tables)}, not {segment.table!r}; name it "
                    "under read"
                )
            tokenizer = self.tables[segment.table].tokenizer
            own = _segment_ids(tokenizer, segment.text, continued=place > 0)
            if not own:
                raise DataError(
                    f"segment {place + 1} (table {segment.table!r}) has text but no token: "
                    f"{segment.text[:40]!r}"
                )
            start = opening_ids(tokenizer) if place == 0 else []
            ids += self.layout.shift(segment.table, [*start, *own])
        return ids

    def logits(self, ids: Tensor, **inputs: Tensor) -> Tensor:
        """``(B, L, V)`` logits over the written table of ``(B, L)`` ids of the common space."""
        with torch.inference_mode():
            values: Tensor = self.model(input_ids=ids, **inputs).logits
        return values

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text)


def _segment_ids(tokenizer: Any, text: str, *, continued: bool) -> list[int]:
    """Ids of a text without control tokens around it; ``continued``: something stands before it."""

    def encode(texts: Sequence[str]) -> list[list[int]]:
        return text_ids(tokenizer.backend_tokenizer, texts, control=True)

    return (continuations(encode, [text]) if continued else encode([text]))[0]
