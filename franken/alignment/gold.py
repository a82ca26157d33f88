"""Links that come with the data: what a perfect aligner would find."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from franken.alignment.bitext import by_space, read_bitext
from franken.alignment.links import from_sentences, table_of_links
from franken.alignment.table import WordTable
from franken.config.alignment import GoldAlignment
from franken.errors import DataError

if TYPE_CHECKING:
    from franken.data.source import Pair


def has_links(pairs: Iterable["Pair"]) -> bool:
    """Whether sentence pairs come with word links; asks the first one alone."""
    first = next(iter(pairs), None)
    return first is not None and first.alignment is not None


def align(pairs: Iterable["Pair"], config: GoldAlignment, language: str) -> WordTable:
    """Count the links of the data; words are strings between spaces, as the links count them.

    Raises:
        DataError: where the data has no gold links.
    """
    kept: list[Pair] = []
    for pair in pairs:
        if config.max_pairs is not None and len(kept) == config.max_pairs:
            break
        if pair.alignment is None:
            raise DataError(
                f"alignment=gold: the parallel text of {language!r} comes without word links; the "
                "embedded world (data=microworld) has them. Use alignment=ibm1, or files"
            )
        if pair.source.split() and pair.target.split():
            kept.append(pair)
    bitext = read_bitext(kept, splitter=by_space)
    links = from_sentences(bitext, (pair.alignment or () for pair in kept))
    return table_of_links(bitext, links, "gold")
