"""Links between occurrences of words, and what they count."""

from collections.abc import Iterable

import numpy as np

from franken.alignment.common.bitext import Bitext
from franken.alignment.common.table import WordTable

Links = np.ndarray
"""``(n, 2)`` int64: place of a source word and place of a target word in the flat text of the
bitext; distinct, sorted by target place, then by source place."""


def as_links(source_places: np.ndarray, target_places: np.ndarray) -> Links:
    """Distinct links in their order."""
    joined = np.stack([source_places, target_places], axis=1).astype(np.int64)
    order = np.lexsort((joined[:, 0], joined[:, 1]))
    joined = joined[order]
    if len(joined) == 0:
        return joined
    first = np.r_[True, (joined[1:] != joined[:-1]).any(axis=1)]
    return joined[first]


def from_sentences(bitext: Bitext, links: Iterable[Iterable[tuple[int, int]]]) -> Links:
    """Links given sentence by sentence, as pairs of word places within the sentence."""
    left, right = bitext.source.offsets.tolist(), bitext.target.offsets.tolist()
    flat = [
        (left[number] + i, right[number] + j)
        for number, sentence in enumerate(links)
        for i, j in sentence
    ]
    array = np.array(flat, dtype=np.int64).reshape(-1, 2)
    return as_links(array[:, 0], array[:, 1])


def count_links(bitext: Bitext, links: Links) -> tuple[np.ndarray, np.ndarray]:
    """Distinct word pairs ``(P, 2)`` and how many links each has, ``(P,)`` float64."""
    width = len(bitext.target.words)
    keys = bitext.source.ids[links[:, 0]].astype(np.int64) * width + bitext.target.ids[links[:, 1]]
    found, counts = np.unique(keys, return_counts=True)
    return np.stack([found // width, found % width], axis=1), counts.astype(np.float64)


def table_of_links(bitext: Bitext, links: Links, aligner: str) -> WordTable:
    """A word table from hard links alone: expected counts are the links."""
    pairs, counts = count_links(bitext, links)
    return WordTable.of(
        bitext.source.words,
        bitext.target.words,
        pairs,
        counts,
        source_spaced=bitext.source.spaced,
        target_spaced=bitext.target.spaced,
        notes={"aligner": aligner, "sentence_pairs": len(bitext), "links": len(links)},
    )
