"""Leaf order: pieces that no other is made of go first, the least used of them before others.

Purason et al. (Findings of EACL 2026, arXiv 2512.03989). What used a piece that went is written
with the two that it was made of, which count its uses from then on. Ranking all pieces once by
their own uses loses more: it keeps two of which either would do, and what is rare by itself
though much is written by way of it.
"""

import heapq
from collections import Counter
from collections.abc import Set as AbstractSet

import numpy as np

from franken.tokenizer.compose import replay
from franken.tokenizer.pipeline import Pipeline, ReadOnlyKind
from franken.tokenizer.pruning import ranks_of


def without_leaves(
    pipeline: Pipeline, usage: np.ndarray, kept: AbstractSet[str], room: int
) -> set[str]:
    """The normal pieces that are left when leaves go until no more than ``room`` are there.

    Args:
        pipeline: of the vocabulary.
        usage: ``(size,)`` uses of each id in the text that decides.
        kept: pieces that go after all others; others go even where there is room.
        room: how many may be left; pieces for any language stay all the same.

    Returns:
        Closed under merges: each of them still comes about, and text that uses no others is cut as
        before.
    """
    ranks = ranks_of(pipeline) if pipeline.is_bpe else {}
    left = set(pipeline.normal())
    count = {piece: int(usage[pipeline.pieces[piece]]) for piece in left}
    below = {piece: _below(pipeline, piece, ranks) & left for piece in left}
    needed = Counter(part for parts in below.values() for part in parts)
    stays = set(pipeline.essentials())

    def leaf(piece: str) -> tuple[bool, int, int, str]:
        return piece in kept, count[piece], -pipeline.pieces[piece], piece

    leaves = [leaf(piece) for piece in left if not needed[piece] and piece not in stays]
    heapq.heapify(leaves)
    while leaves and (len(left) > room or not leaves[0][0]):
        _, uses, _, piece = heapq.heappop(leaves)
        left.remove(piece)
        if ranks:
            for part in replay(piece, ranks, stop=2)[0]:
                if part in count:
                    count[part] += uses
        for part in below[piece]:
            needed[part] -= 1
            if not needed[part] and part not in stays:
                heapq.heappush(leaves, leaf(part))
    return left


def _below(pipeline: Pipeline, piece: str, ranks: dict[tuple[str, str], int]) -> set[str]:
    """All that BPE makes on the way to a piece; of a WordPiece its letters."""
    if pipeline.kind is ReadOnlyKind.wordpiece:
        return set(pipeline.letters(piece)) - {piece}
    return replay(piece, ranks)[1] - {piece} if ranks else set()
