"""Links between occurrences of words, and what they count."""

from collections.abc import Iterable

import numpy as np

from franken.alignment.common.bitext import Bitext
from franken.alignment.common.sorting import distinct_sorted
from franken.alignment.common.table import WordTable

Links = np.ndarray
"""``(n, 2)`` int64: place of a source word and place of a target word in the flat text of the
bitext; distinct, sorted by target place, then by source place."""


def as_links(source_places: np.ndarray, target_places: np.ndarray) -> Links:
    """Distinct links in their order."""
    if len(source_places) == 0:
        return np.zeros((0, 2), np.int64)
    width = int(source_places.max()) + 1
    codes = distinct_sorted(target_places * np.int64(width) + source_places)
    return np.stack([codes % width, codes // width], axis=1)


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
