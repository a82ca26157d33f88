"""What all fits share: both vocabularies as bytes, special rows, overlap, and the CSR matrix."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from franken.parts.table import Table
from franken.parts.tokenizer_files import tokenizer_identity
from franken.parts.unused_rows import untrained_rows
from franken.token_map.options import Fallback, FitOptions
from franken.token_map.token_map import (
    DrawClasses,
    FallbackRule,
    MapLabels,
    Provenance,
    Reduce,
    TokenMap,
)
from franken.tokenizer.pieces import Reading, encode_pieces, label_of, overlap_of
from franken.tokenizer.reachability import shadowed_ids

_DECIDED_LATER = 255
_APART = b"\x1f"
_TEXT = b"text" + _APART
HEWITT_SCALE = 1e-5
"""Covariance factor of ``fallback=multivariate``: near the mean, yet no two rows alike."""

Entries = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Target ids, source rows, weights, weights for the output: arrays of one length."""


class MapBuilder:
    """Collects rows of W. On creation the special and the padding rows are decided.

    A special token takes the row of the source's token of the same role or string. Without such a
    partner it falls under the fallback rule like any piece that the method cannot compute.
    """

    def __init__(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        config: FitOptions,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Compare the vocabularies.

        Args:
            source: the old table; rows that no text ever moved count as none of text's.
            target: tokenizer of the new table.
            config: options of the method.
            seed: seed of all draws.
            device: where vectors are compared.

        Raises:
            CompatibilityError: where the source tokenizer is of no known kind.
        """
        self.source, self.target = source, target
        self.config, self.seed, self.device = config, seed, device
        old = Reading.of(source.tokenizer)
        new = old if target is source.tokenizer else Reading.of(target)
        self.source_bytes = (old.bytes + [None] * source.rows)[: source.rows]
        unused = untrained_rows(
            source.input, old.pipeline.pieces, source.input[:0],
            unwritten=shadowed_ids(source.tokenizer, old),
        )  # fmt: skip
        unused_ids = unused.nonzero().flatten().tolist()
        for index in unused_ids:  # no text moved them: no exemplar, anchor or neighbour of anything
            self.source_bytes[index] = None
        self.target_bytes = new.bytes
        self.overlap = {
            row: partner for row, partner in overlap_of(old, new).items() if partner < source.rows
        }
        self.notes: dict[str, Any] = {"unused_source_rows": len(unused_ids)} if unused_ids else {}
        self.source_names = {index: piece for piece, index in old.pipeline.pieces.items()}
        """Source id -> piece, spelled as the vocabulary spells it."""
        self.target_names = {index: piece for piece, index in new.pipeline.pieces.items()}
        self._provenance = np.full(len(self.target_bytes), _DECIDED_LATER, dtype=np.uint8)
        self._entries: list[Entries] = []
        self._two_sided = False
        self._decide_special_and_padding()

    def undecided(self) -> list[int]:
        """Ids of text pieces that nothing was said about yet, ascending."""
        return [int(row) for row in np.flatnonzero(self._provenance == _DECIDED_LATER)]

    def copy_overlap(self) -> None:
        """Copy undecided pieces whose bytes the source has, unless the config says not to."""
        if self.config.copy_overlap:
            self._copy([row for row in self.undecided() if row in self.overlap], Provenance.copied)

    def put(
        self,
        row: int,
        indices: Sequence[int],
        weights: Sequence[float],
        provenance: Provenance = Provenance.computed,
    ) -> None:
        """Decide one row; weights of the same source row add up."""
        rows = np.full(len(indices), row, dtype=np.int64)
        self.put_entries(rows, np.asarray(indices), np.asarray(weights), provenance)
        self._provenance[row] = int(provenance)

    def put_entries(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        weights: np.ndarray,
        provenance: Provenance = Provenance.computed,
        *,
        output_weights: np.ndarray | None = None,
    ) -> None:
        """Decide many rows at once from coordinates; weights of equal coordinates add up.

        Args:
            rows: ``(n,)`` target ids, repeated for each source row that takes part.
            columns: ``(n,)`` source rows.
            weights: ``(n,)``.
            provenance: of all these rows.
            output_weights: ``(n,)`` for the output embeddings, where they are others.
        """
        self._two_sided |= output_weights is not None
        self._provenance[rows] = int(provenance)
        weights = np.asarray(weights, np.float64)
        output = weights if output_weights is None else np.asarray(output_weights, np.float64)
        self._entries.append(
            (np.asarray(rows, np.int64), np.asarray(columns, np.int64), weights, output)
        )

    def mark(self, rows: Sequence[int], provenance: Provenance) -> None:
        """Say where rows come from that need no weights."""
        self._provenance[list(rows)] = int(provenance)

    def falls_back(self, row: int) -> bool:
        """Whether the fallback rule makes this row, as things stand."""
        return bool(self._provenance[row] == int(Provenance.fallback))

    def release(self, rows: Sequence[int]) -> None:
        """Take back what was decided on these rows."""
        self._provenance[list(rows)] = _DECIDED_LATER
        kept = [~np.isin(entries[0], rows) for entries in self._entries]
        self._entries = [
            (row[keep], column[keep], weight[keep], output[keep])
            for (row, column, weight, output), keep in zip(self._entries, kept, strict=True)
        ]

    def encode(self, texts: Iterable[bytes]) -> list[list[int]]:
        """Source rows of each text; the unknown token and ids without a row are left out."""
        found = encode_pieces(self.source.tokenizer, list(texts))
        rows = self._text_rows
        return [
            ids if rows.issuperset(ids) else [index for index in ids if index in rows]
            for ids in found
        ]

    @cached_property
    def _text_rows(self) -> frozenset[int]:
        return frozenset(row for row, data in enumerate(self.source_bytes) if data is not None)

    def pool_subtokens(self, provenance: Provenance = Provenance.computed) -> None:
        """Give every undecided piece equal weights on the source tokens of its own bytes.

        Gee et al. 2022 (arXiv 2402.09977). A piece without any source token stays undecided.
        """
        rows = self.undecided()
        found = self.encode(self.target_bytes[row] or b"" for row in rows)
        sizes = np.fromiter(map(len, found), np.int64, len(found))
        columns = np.fromiter(chain.from_iterable(found), np.int64, int(sizes.sum()))
        shares = np.repeat(1 / np.maximum(sizes, 1), sizes)
        self.put_entries(np.repeat(np.array(rows, np.int64), sizes), columns, shares, provenance)

    def build(
        self,
        fallback: Fallback = Fallback.mean,
        *,
        scale: float = 1.0,
        reduce: Reduce = Reduce.sum,
        classes: DrawClasses | None = None,
    ) -> TokenMap:
        """Finish: whatever is undecided falls under the fallback rule."""
        self._provenance[self._provenance == _DECIDED_LATER] = int(Provenance.fallback)
        indptr, indices, weights, output = compressed(self._entries, len(self.target_bytes))
        options = {
            key: str(v) if isinstance(v, str) else v for key, v in asdict(self.config).items()
        }
        return TokenMap(
            indptr=torch.from_numpy(indptr),
            indices=torch.from_numpy(indices),
            weights=torch.from_numpy(weights),
            provenance=torch.from_numpy(self._provenance),
            exemplars=torch.tensor([data is not None for data in self.source_bytes]),
            keys=self._keys(),
            fallback=FallbackRule(fallback, scale, self.seed),
            reduce=reduce,
            noise_std=self.config.noise_std,
            norm_match=self.config.norm_match,
            labels=self._labels(),
            notes={"method": self.config.name, "options": options, **self.notes},
            output_weights=torch.from_numpy(output) if self._two_sided else None,
            classes=classes,
        )

    def build_with_fallback(self, rule: Fallback) -> TokenMap:
        """:meth:`build` for methods whose rule is an option.

        Rows that ``subtoken_mean`` cannot make either take the mean row.
        """
        if rule is Fallback.subtoken_mean:
            self.pool_subtokens(Provenance.fallback)
        return self.build(rule, scale=HEWITT_SCALE if rule is Fallback.multivariate else 1.0)

    def _decide_special_and_padding(self) -> None:
        special = []
        for row, data in enumerate(self.target_bytes):
            if row not in self.target_names:
                self._provenance[row] = int(Provenance.padding)
            elif data is None and row in self.overlap:
                special.append(row)
            elif data is None:
                self._provenance[row] = int(Provenance.fallback)
        self._copy(special, Provenance.special)

    def _copy(self, rows: list[int], provenance: Provenance) -> None:
        columns = np.fromiter((self.overlap[row] for row in rows), np.int64, len(rows))
        self.put_entries(np.array(rows, np.int64), columns, np.ones(len(rows)), provenance)

    def _keys(self) -> list[bytes]:
        """Draw keys: the bytes; where two tokens share them (``A``, ``<0x41>``), the name too."""
        keys = []
        for row, data in enumerate(self.target_bytes):
            if data is not None:
                keys.append(_TEXT + data)
            elif row in self.target_names:
                keys.append(b"special\x1f" + self.target_names[row].encode())
            else:
                keys.append(b"padding\x1f%d" % row)
        shared = {key for key, count in Counter(keys).items() if count > 1}
        return [
            key + _APART + self.target_names[row].encode() if key in shared else key
            for row, key in enumerate(keys)
        ]

    def _labels(self) -> MapLabels:
        return MapLabels(
            [
                label_of(data, self.source_names.get(i, ""))
                for i, data in enumerate(self.source_bytes)
            ],
            [
                label_of(data, self.target_names.get(i, ""))
                for i, data in enumerate(self.target_bytes)
            ],
            tokenizer_identity(self.source.tokenizer),
            tokenizer_identity(self.target),
        )


def texts_of(keys: Sequence[bytes]) -> list[bytes | None]:
    """The bytes of each token, from the draw keys of a map; ``None`` of those that are no text."""
    heads = Counter(key.rpartition(_APART)[0] for key in keys)
    found: list[bytes | None] = []
    for key in keys:
        head = key.rpartition(_APART)[0]
        named = heads[head] > 1 and head.startswith(_TEXT)
        text = head if named else key
        found.append(text.removeprefix(_TEXT) if text.startswith(_TEXT) else None)
    return found


def compressed(
    entries: list[Entries], rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """CSR with ascending, distinct columns: ``indptr`` int64, ``indices`` int32, 2 x float32."""
    indptr = np.zeros(rows + 1, dtype=np.int64)
    if not sum(len(part[0]) for part in entries):
        return indptr, np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.float32)
    row, column, weight, output = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    order = np.argsort(row * (int(column.max()) + 1) + column, kind="stable")
    row, column = row[order], column[order]
    first = np.r_[True, (row[1:] != row[:-1]) | (column[1:] != column[:-1])]
    starts = np.flatnonzero(first)
    totals = [np.add.reduceat(part[order], starts).astype(np.float32) for part in (weight, output)]
    np.cumsum(np.bincount(row[first], minlength=rows), out=indptr[1:])
    return indptr, column[first].astype(np.int32), totals[0], totals[1]
