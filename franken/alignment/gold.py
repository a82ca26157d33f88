"""Links that come with the data: what a perfect aligner would find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from franken.alignment.base import Alignment
from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later

with later():
    from franken.alignment.common.bitext import by_space, read_bitext
    from franken.alignment.common.links import from_sentences, table_of_links
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair


@option
class GoldAlignment(Alignment):
    """Word links that come with the data, as in the embedded world: the ceiling for aligners."""

    max_pairs: int | None = None
    """Sentence pairs per language at most; ``null``: all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("max_pairs", self.max_pairs, 1)

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Count the links of the data; words are strings between spaces, as the links count them.

        Raises:
            DataError: where the data has no gold links.
        """
        kept: list[Pair] = []
        for pair in pairs:
            if self.max_pairs is not None and len(kept) == self.max_pairs:
                break
            if pair.alignment is None:
                raise DataError(
                    f"alignment=gold: the parallel text of {language!r} comes without word links; "
                    "the embedded world (data=microworld) has them. Use alignment=ibm1, or files"
                )
            if pair.source.split() and pair.target.split():
                kept.append(pair)
        bitext = read_bitext(kept, splitter=by_space)
        links = from_sentences(bitext, (pair.alignment or () for pair in kept))
        return table_of_links(bitext, links, "gold")


def has_links(pairs: Iterable[Pair]) -> bool:
    """Whether sentence pairs come with word links; asks the first one alone."""
    first = next(iter(pairs), None)
    return first is not None and first.alignment is not None
