"""Links of both directions brought together (Och & Ney 2003; Koehn et al. 2003)."""

import numpy as np

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import Bitext
from franken.alignment.common.links import Links, as_links
from franken.alignment.common.sorting import distinct_sorted

_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(bitext: Bitext, forward: Links, backward: Links, rule: Symmetry) -> Links:
    """One set of links from two.

    Args:
        bitext: what the links belong to.
        forward: links of p(target | source).
        backward: links of p(source | target), as (source place, target place) too.
        rule: ``intersect``, ``union``, or ``grow_diag_final_and``.
    """
    width = len(bitext.target.ids) + 1  # so that no place is next to the one before the first
    one, two = (links[:, 0] * width + links[:, 1] for links in (forward, backward))
    both = np.intersect1d(one, two, assume_unique=True)
    either = distinct_sorted(np.concatenate([one, two]))
    if rule is Symmetry.intersect:
        return as_links(both // width, both % width)
    if rule is Symmetry.union or len(both) == len(either):
        return as_links(either // width, either % width)
    grown = np.concatenate([both, _grown(bitext, one, two, both, either)])
    return as_links(grown // width, grown % width)


def _grown(
    bitext: Bitext, forward: np.ndarray, backward: np.ndarray, both: np.ndarray, either: np.ndarray
) -> np.ndarray:
    """What Moses' heuristic adds to the intersection, in all sentences at once.

    Links of the union that neighbour one (diagonals too) and have a word that is not linked yet,
    until none is left; then links of either direction, forward first, both of whose words are not
    linked yet. Sentences share no place, so only the order within a sentence matters: links in the
    order in which they were added, ``_NEIGHBOURS`` in theirs.

    Args:
        bitext: for the ends of its sentences.
        forward: codes of the links of one direction: source place * ``width`` + target place.
        backward: of the other.
        both: ascending codes of their intersection.
        either: ascending codes of their union.

    Returns:
        Codes of the links to add.
    """
    width = len(bitext.target.ids) + 1
    sides = bytearray(len(bitext.source.ids)), bytearray(len(bitext.target.ids))
    flags = [np.frombuffer(side, dtype=np.uint8) for side in sides]
    flags[0][both // width], flags[1][both % width] = 1, 1
    added: list[int] = []

    def add(code: int) -> None:
        sides[0][code // width] = sides[1][code % width] = 1
        added.append(code)

    left, waiting = either, both
    while len(waiting):
        start = len(added)
        # A link whose words are both linked stays out for good, so few are looked at.
        left = left[(flags[0][left // width] & flags[1][left % width]) == 0]
        for code in _beside(bitext, waiting, left, width).tolist():
            if not (sides[0][code // width] and sides[1][code % width]):
                add(code)
        waiting = np.array(added[start:], dtype=np.int64)
    for direction in (forward, backward):
        free = (flags[0][direction // width] | flags[1][direction % width]) == 0
        for code in np.sort(direction[free]).tolist():
            if not sides[0][code // width] and not sides[1][code % width]:
                add(code)
    return np.array(added, dtype=np.int64)


def _beside(bitext: Bitext, waiting: np.ndarray, left: np.ndarray, width: int) -> np.ndarray:
    """Codes of ``left`` beside a link of ``waiting``, by the order of these, then of the sides."""
    order = np.argsort(waiting, kind="stable")
    ascending, ends = waiting[order], bitext.target.offsets
    codes, ranks = [], []
    for side, (source, target) in enumerate(_NEIGHBOURS):
        wanted = left - (source * width + target)
        place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
        hit = ascending[place] == wanted
        found, beside = left[hit], wanted[hit]
        sentences = [np.searchsorted(ends, item % width, "right") for item in (found, beside)]
        same = sentences[0] == sentences[1]
        codes.append(found[same])
        ranks.append(order[place[hit]][same] * len(_NEIGHBOURS) + side)
    events: np.ndarray = np.concatenate(codes)[np.argsort(np.concatenate(ranks))]
    return events
