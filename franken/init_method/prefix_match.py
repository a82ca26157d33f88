"""tokensurgeon's ``--prefix-match``: the row of the longest source piece that a token begins with.

Proper prefixes, by bytes, that hold more than blanks; a leading space belongs to the piece. Its
``--byte-match`` (``<0x41>`` and ``A``) is what every initialiser here does: vocabularies are
compared by bytes. Departure: only prefixes of whole characters count where the release cuts the
strings of the vocabulary, whose letters are bytes under byte-level BPE and characters elsewhere
(``whole_characters=false`` as released for byte-level BPE).
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import numpy as np
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap


class PrefixSide(StrEnum):
    """Which embeddings of an untied model take the prefix's row; tied ones have one row."""

    both = "both"
    output = "output"
    """The output's alone, which is asked how a token begins; the input has the subtoken mean."""
    input = "input"
    """The input's alone."""


@option
class PrefixMatchInit(InitMethod):
    """The row of the longest source piece that the new piece begins with; subtoken means without
    one (tokensurgeon).
    """

    paper: ClassVar[str] = "tokensurgeon, prefix match"

    side: PrefixSide = PrefixSide.both
    whole_characters: bool = True
    """Prefixes that end inside a character do not count."""

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        known = {data: row for row, data in reversed(list(enumerate(builder.source_bytes))) if data}
        prefixes = {
            row: known[prefix] for row in builder.undecided()
            if (prefix := self._longest(builder.target_bytes[row] or b"", known)) is not None
        }  # fmt: skip
        builder.notes["with_prefix"] = len(prefixes)
        if self.side is PrefixSide.both or source.tied:
            rows = np.fromiter(prefixes, np.int64, len(prefixes))
            columns = np.fromiter(prefixes.values(), np.int64, len(prefixes))
            builder.put_entries(rows, columns, np.ones(len(rows)))
        else:
            self._put_one_side(builder, prefixes)
        builder.pool_subtokens()
        return builder.build(Fallback.mean)

    def _longest(self, data: bytes, known: dict[bytes, int]) -> bytes | None:
        """The longest proper prefix that is a source piece and more than blanks."""
        for stop in range(len(data) - 1, 0, -1):
            if not data[:stop].strip():
                return None
            inside = self.whole_characters and data[stop] & 0xC0 == 0x80
            if not inside and data[:stop] in known:
                return data[:stop]
        return None

    def _put_one_side(self, builder: MapBuilder, prefixes: dict[int, int]) -> None:
        """The prefix on one side, equal weights on the subtokens on the other."""
        pieces = builder.encode(builder.target_bytes[row] or b"" for row in prefixes)
        for (row, column), found in zip(prefixes.items(), pieces, strict=True):
            columns = np.array([column, *found])
            prefix = np.array([1.0] + [0.0] * len(found))
            mean = np.array([0.0] + [1 / len(found)] * len(found)) if found else prefix
            inward, outward = (mean, prefix) if self.side is PrefixSide.output else (prefix, mean)
            rows = np.full(len(columns), row)
            builder.put_entries(rows, columns, inward, output_weights=outward)
