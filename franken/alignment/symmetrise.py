"""Links of both directions brought together (Och & Ney 2003; Koehn et al. 2003)."""

from itertools import pairwise

import numpy as np

from franken.alignment.bitext import Bitext
from franken.alignment.link_index import distinct_sorted
from franken.alignment.links import Links, as_links
from franken.config.alignment import Symmetry

_NEIGHBOURS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def symmetrise(bitext: Bitext, forward: Links, backward: Links, rule: Symmetry) -> Links:
    """One set of links from two.

    Args:
        bitext: what the links belong to.
        forward: links of p(target | source).
        backward: links of p(source | target), as (source place, target place) too.
        rule: ``intersect``, ``union``, or ``grow_diag_final_and``.
    """
    width = len(bitext.target.ids) + 1
    one, two = (links[:, 0] * width + links[:, 1] for links in (forward, backward))
    both = np.intersect1d(one, two, assume_unique=True)
    either = distinct_sorted(np.concatenate([one, two]))
    if rule is Symmetry.intersect:
        return as_links(both // width, both % width)
    if rule is Symmetry.union or len(both) == len(either):
        return as_links(either // width, either % width)
    return _grown(bitext, forward, backward)


def _grown(bitext: Bitext, forward: Links, backward: Links) -> Links:
    found: list[tuple[int, int]] = []
    sides = [_by_sentence(bitext, links) for links in (forward, backward)]
    for one, two in zip(*sides, strict=True):
        found += one if one == two else sorted(grow_diag_final_and(one, two))
    array = np.array(found, dtype=np.int64).reshape(-1, 2)
    return as_links(array[:, 0], array[:, 1])


def _by_sentence(bitext: Bitext, links: Links) -> list[list[tuple[int, int]]]:
    """Links of each sentence; places stay those of the flat text, neighbours are neighbours."""
    bounds = np.searchsorted(links[:, 1], bitext.target.offsets).tolist()
    flat = list(map(tuple, links.tolist()))
    return [flat[start:stop] for start, stop in pairwise(bounds)]


def grow_diag_final_and(
    forward: list[tuple[int, int]], backward: list[tuple[int, int]]
) -> set[tuple[int, int]]:
    """The heuristic as Moses has it, for one sentence.

    Begin with the intersection; add links of the union that neighbour one (diagonals too) and have
    a word that is not linked yet, until none is left; then add links of either direction, forward
    first, both of whose words are not linked yet.
    """
    union = set(forward) | set(backward)
    grown = set(forward) & set(backward)
    sources, targets = {i for i, _ in grown}, {j for _, j in grown}

    def add(link: tuple[int, int]) -> None:
        grown.add(link)
        sources.add(link[0])
        targets.add(link[1])

    waiting = sorted(grown)
    while waiting:
        added = []
        for i, j in waiting:
            for di, dj in _NEIGHBOURS:
                link = (i + di, j + dj)
                if (
                    link in union
                    and link not in grown
                    and (link[0] not in sources or link[1] not in targets)
                ):
                    add(link)
                    added.append(link)
        waiting = added
    for direction in (forward, backward):
        for i, j in sorted(direction):
            if i not in sources and j not in targets:
                add((i, j))
    return grown
