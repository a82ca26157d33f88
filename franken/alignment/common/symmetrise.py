"""Links of both directions brought together (Och & Ney 2003; Koehn et al. 2003)."""

from collections.abc import Iterator

import numpy as np

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import Bitext
from franken.alignment.common.links import Links, as_links

_NEIGHBOURS = np.array([(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)])

CELLS = 1 << 22
"""Cells of sentences that are looked at together, about."""


def symmetrise(
    bitext: Bitext, forward: Links, backward: Links, rule: Symmetry, *, cells: int = CELLS
) -> Links:
    """One set of links from two.

    Args:
        bitext: what the links belong to.
        forward: links of p(target | source).
        backward: links of p(source | target), as (source place, target place) too.
        rule: ``intersect``, ``union``, or ``grow_diag_final_and``.
        cells: bounds memory; changes nothing else.
    """
    found = []
    linked = _Linked(bitext)
    for first, stop in _ranges(bitext, cells):
        grid = _Grid(bitext, first, stop)
        ways = [_of_targets(links, *grid.targets) for links in (forward, backward)]
        for mark, links in enumerate(ways, start=1):
            grid.marks[grid.cells(links)] |= mark
        if rule is Symmetry.union:
            found.append(grid.links(np.flatnonzero(grid.marks)))
            continue
        both = grid.links(np.flatnonzero(grid.marks == 3))
        found.append(both)
        if rule is Symmetry.grow_diag_final_and:
            linked.add(both)
            found += _grown(grid, both, linked)
            found += [links for way in ways for links in _final(way, linked)]
    joined = np.concatenate(found)
    return as_links(joined[:, 0], joined[:, 1])


def _grown(grid: "_Grid", both: Links, linked: "_Linked") -> Iterator[Links]:
    """Moses' heuristic for what neighbours the intersection, in all sentences at once.

    Links of the union that neighbour one (diagonals too) and have a word that is not linked yet,
    until none is left. Asked are links in the order in which they were added, their neighbours in
    that of ``_NEIGHBOURS``. A link that is asked about is added just if it is the first to ask for
    one of its words: later ones find that word linked.
    """
    grid.marks[grid.cells(both)] = 0
    waiting = both
    while len(waiting):
        asked = grid.beside(waiting)
        first = linked.first_to_ask(asked)
        waiting = asked[first[0] | first[1]]
        linked.add(waiting)
        grid.marks[grid.cells(asked)] = 0  # those left out have both words linked, and stay out
        yield waiting


def _final(links: Links, linked: "_Linked") -> Iterator[Links]:
    """Links both of whose words are not linked yet, by source place, then target place."""
    left = links[np.lexsort((links[:, 1], links[:, 0]))]
    while len(left := linked.without(left)):
        first = linked.first_to_ask(left)
        added = left[first[0] & first[1]]
        linked.add(added)
        yield added


def _ranges(bitext: Bitext, cells: int) -> Iterator[tuple[int, int]]:
    """First and last sentence (exclusive) of what is looked at together."""
    ends = np.cumsum(bitext.source.lengths * bitext.target.lengths)
    first = 0
    while first < len(bitext):
        done = ends[first - 1] if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, done + cells, side="right")))
        yield first, stop
        first = stop


def _of_targets(links: Links, first: int, stop: int) -> Links:
    """Of links in order of their target places those of a range."""
    low, high = np.searchsorted(links[:, 1], [first, stop])
    return links[low:high]


class _Linked:
    """Which words have a link."""

    def __init__(self, bitext: Bitext) -> None:
        sizes = len(bitext.source.ids), len(bitext.target.ids)
        self._flags = [np.zeros(size, bool) for size in sizes]
        self._asked = [np.empty(size, np.int64) for size in sizes]

    def add(self, links: Links) -> None:
        for side, flags in enumerate(self._flags):
            flags[links[:, side]] = True

    def without(self, links: Links) -> Links:
        """Links that have neither word linked."""
        found: Links = links[~(self._flags[0][links[:, 0]] | self._flags[1][links[:, 1]])]
        return found

    def first_to_ask(self, links: Links) -> list[np.ndarray]:
        """Of each side: whether a link's word is free, and no earlier link has it."""
        order, found = np.arange(len(links)), []
        for side, (flags, asked) in enumerate(zip(self._flags, self._asked, strict=True)):
            words = links[:, side]
            asked[words[::-1]] = order[::-1]
            found.append((asked[words] == order) & ~flags[words])
        return found


class _Grid:
    """Source places times target places of some sentences, a byte each, for links of theirs."""

    def __init__(self, bitext: Bitext, first: int, stop: int) -> None:
        self._offsets = [side.offsets[first : stop + 1] for side in (bitext.source, bitext.target)]
        self._widths = np.diff(self._offsets[1])
        self._starts = np.concatenate([[0], np.cumsum(np.diff(self._offsets[0]) * self._widths)])
        self._owners = np.repeat(np.arange(stop - first), self._widths)
        self.targets = int(self._offsets[1][0]), int(self._offsets[1][-1])
        """Range of the target places."""
        self.marks = np.zeros(self._starts[-1], np.uint8)
        """Of all cells, sentence by sentence, source place by source place."""

    def cells(self, links: Links) -> np.ndarray:
        """Where links are among :attr:`marks`."""
        owners = self._owner(links)
        source, target = (links[:, side] - self._offsets[side][owners] for side in (0, 1))
        found: np.ndarray = self._starts[owners] + source * self._widths[owners] + target
        return found

    def links(self, cells: np.ndarray) -> Links:
        """The links of ascending cells."""
        owners = np.searchsorted(self._starts, cells, side="right") - 1
        source, target = np.divmod(cells - self._starts[owners], self._widths[owners])
        return np.stack(
            [source + self._offsets[0][owners], target + self._offsets[1][owners]], axis=1
        )

    def beside(self, links: Links) -> Links:
        """Marked neighbours of links, in their order, then in that of the neighbours."""
        owners, inside = self._owner(links), np.ones((len(links), len(_NEIGHBOURS)), bool)
        cells = self.cells(links)[:, None] + self._widths[owners][:, None] * _NEIGHBOURS[:, 0]
        cells += _NEIGHBOURS[:, 1]
        for side, offsets in enumerate(self._offsets):
            first = links[:, side] == offsets[owners]
            last = links[:, side] == offsets[owners + 1] - 1
            inside &= ~(first[:, None] & (_NEIGHBOURS[:, side] < 0))
            inside &= ~(last[:, None] & (_NEIGHBOURS[:, side] > 0))
        which, neighbour = np.nonzero(inside)
        marked = self.marks[cells[inside]] > 0
        found: Links = links[which[marked]] + _NEIGHBOURS[neighbour[marked]]
        return found

    def _owner(self, links: Links) -> np.ndarray:
        owners: np.ndarray = self._owners[links[:, 1] - self.targets[0]]
        return owners
