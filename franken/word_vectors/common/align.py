"""Two spaces into one: the orthogonal map that brings paired words nearest to each other."""

import logging
from collections.abc import Iterable

import torch
from torch import Tensor

from franken.errors import CompatibilityError, DataError
from franken.word_vectors.common.space import VectorSpace

logger = logging.getLogger(__name__)

WordPair = tuple[str, str]


def procrustes(source: Tensor, target: Tensor) -> Tensor:
    """The orthogonal ``W`` that minimises ``||source @ W - target||`` (Schönemann 1966).

    Args:
        source: ``(p, d)`` vectors.
        target: ``(p, d)`` vectors of their partners.

    Returns:
        ``(d, d)`` float32, computed in float64: ``U @ Vᵀ`` for ``sourceᵀ @ target = U S Vᵀ``.
    """
    if source.shape != target.shape:
        raise CompatibilityError(
            f"Procrustes needs pairs of one width, got {tuple(source.shape)} and "
            f"{tuple(target.shape)}; both spaces must have the same dimension"
        )
    left, _, right = torch.linalg.svd(source.double().T @ target.double())
    rotation: Tensor = (left @ right).float()
    return rotation


def expanded(pairs: Iterable[WordPair]) -> list[WordPair]:
    """Each pair in every combination of {as is, lower, title} (WECHSEL).

    Forms that are equal are kept as often as they arise, as in the release: a lower-case entry
    weighs more than one that is a name already.
    """
    return [
        (first, second)
        for source, target in pairs
        for first in (source, source.lower(), source.title())
        for second in (target, target.lower(), target.title())
    ]


def identical_words(source: VectorSpace, target: VectorSpace) -> list[WordPair]:
    """Words that both spaces list: names, numbers, punctuation marks, loans."""
    return [(word, word) for word in source.words if word in target.index]


def aligned(
    source: VectorSpace, target: VectorSpace, pairs: Iterable[WordPair], *, what: str
) -> tuple[VectorSpace, int]:
    """Turn ``source`` into the space of ``target``.

    Args:
        source: is rotated.
        target: stays.
        pairs: (source word, target word); those with a word that a space does not list are left
            out. N-grams do not count: they would align guesses.
        what: names the pairs in errors.

    Too few pairs leave part of the rotation open: that is a warning with its size.

    Returns:
        The rotated space, and the number of pairs that were used.

    Raises:
        DataError: where the dimensions differ, or no pair can be used.
    """
    if source.dim != target.dim:
        raise DataError(
            f"{what}: the two spaces have {source.dim} and {target.dim} dimensions; train or read "
            "vectors of one width"
        )
    known = [
        (source.index[first], target.index[second])
        for first, second in pairs
        if first in source.index and second in target.index
    ]
    if not known:
        raise DataError(
            f"{what}: no pair has both its words in the vectors ({len(source.words)} and "
            f"{len(target.words)} words), so the spaces cannot be aligned; use a lexicon of words "
            "that the text holds, or lower word_vectors.min_count"
        )
    rows = torch.tensor(known)
    left, right = source.vectors[rows[:, 0]], target.vectors[rows[:, 1]]
    determined = int(torch.linalg.matrix_rank(left.double().T @ right.double()))
    if determined < source.dim:
        logger.warning(
            "%s: %d word pairs determine %d of %d dimensions of the rotation, the rest is "
            "arbitrary; give more pairs, or vectors of fewer dimensions",
            what,
            len(set(known)),
            determined,
            source.dim,
        )
    matrix = procrustes(left, right)
    return source.transformed(matrix), len(known)
