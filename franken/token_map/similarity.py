"""Rows of W from similarities of vectors: softmax or sparsemax weights, and what to report."""

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.token_map.builder import MapBuilder
from franken.token_map.neighbours import Neighbours, softmax_weights, top_neighbours
from franken.token_map.sparsemax import sparsemax_neighbours
from franken.tokenizer.pieces import text_of

logger = logging.getLogger(__name__)

Vectors = tuple[Tensor, Tensor]
"""``(m, d)`` vectors and ``(m,)`` bool: which of them there are."""


def put_softmax_rows(
    builder: MapBuilder, target: Vectors, source: Vectors, *, neighbours: int, temperature: float
) -> dict[str, Any]:
    """Undecided pieces take ``softmax(cos / temperature)`` over their nearest source pieces.

    Args:
        builder: its undecided rows are decided where they have a vector.
        target: vectors of target ids.
        source: vectors of source rows.
        neighbours: how many source pieces.
        temperature: as in WECHSEL's equation, 0.1 there.

    Returns:
        Notes: rows with and without a vector, quantiles of the best cosine.
    """
    rows = np.asarray(builder.undecided(), np.int64)
    usable = rows[target[1].numpy()[rows]]
    sources = source[1].nonzero().flatten()
    notes = {"source_pieces_with_vector": len(sources), "pieces_without_vector": len(rows)}
    if not len(sources) or not len(usable):
        return notes
    columns, scores = top_neighbours(
        target[0], source[0].to(builder.device), neighbours,
        query_rows=torch.from_numpy(usable), anchor_rows=sources,
    )  # fmt: skip
    weights = softmax_weights(scores, temperature)
    width = columns.shape[1]
    builder.put_entries(
        np.repeat(usable, width),
        sources[columns].flatten().numpy(),
        weights.flatten().numpy(),
    )
    notes["pieces_without_vector"] -= len(usable)
    return {**notes, **cosine_notes(scores[:, 0])}


def put_sparsemax_rows(
    builder: MapBuilder,
    rows: np.ndarray,
    queries: Tensor,
    anchors: Tensor,
    sources: np.ndarray,
    *,
    temperature: float = 1.0,
    nucleus: float = 1.0,
) -> dict[str, Any]:
    """Rows take ``sparsemax(cos / temperature)`` over anchors.

    Args:
        builder: gets the rows.
        rows: ``(n,)`` target ids.
        queries: ``(n, d)`` their vectors, none zero.
        anchors: ``(m, d)`` vectors of the anchors.
        sources: ``(m,)`` the source row that each anchor stands for.
        temperature: divides the cosines.
        nucleus: the largest weights whose sum reaches this are kept and scaled to sum 1.

    Returns:
        Notes: quantiles of the number of anchors per row.
    """
    if not len(rows):
        return {}
    here = anchors.to(builder.device)
    found = sparsemax_neighbours(queries, here, temperature=temperature)
    if nucleus < 1:
        found = nucleus_of(found, nucleus)
    builder.put_entries(rows[found.rows], sources[found.columns], found.weights)
    sizes = torch.from_numpy(np.bincount(found.rows, minlength=len(rows)))
    return {"anchors": len(anchors), **quantiles(sizes, "anchors_per_row")}


def nucleus_of(found: Neighbours, share: float) -> Neighbours:
    """Of each row the fewest largest weights whose sum reaches ``share``, scaled to sum 1."""
    if not len(found.rows):
        return found
    running = np.cumsum(found.weights)
    first = np.r_[True, found.rows[1:] != found.rows[:-1]]
    starts = np.flatnonzero(first)
    group = np.cumsum(first) - 1
    before = running - found.weights - (running[starts] - found.weights[starts])[group]
    keep = before < share - 1e-12
    rows, columns, weights = found.rows[keep], found.columns[keep], found.weights[keep]
    totals = np.zeros(len(starts))
    np.add.at(totals, group[keep], weights)
    return Neighbours(rows, columns, weights / totals[group[keep]])


def folded_overlap(builder: MapBuilder, *, spaces: bool) -> dict[int, int]:
    """Source rows of undecided pieces that equal them but for case.

    Args:
        builder: its undecided rows outside the exact overlap are looked at.
        spaces: whether a leading space may differ as well. Pieces of white space alone are left
            out then, as nothing of them is left to compare.

    Returns:
        Target id -> source row: the one of the same leading space first, then of the lowest id.
    """

    def fold(data: bytes | None) -> tuple[str, bool] | None:
        text = text_of(data) or ""
        led = text.startswith(" ")
        folded = (text.lstrip(" ") if spaces else text).lower()
        return (folded, led) if folded.strip() else None

    known: dict[str, dict[bool, int]] = {}
    for index, data in enumerate(builder.source_bytes):
        if (folded := fold(data)) is not None:
            known.setdefault(folded[0], {}).setdefault(folded[1], index)
    found = {}
    for row in builder.undecided():
        folded = fold(builder.target_bytes[row])
        if row in builder.overlap or folded is None or folded[0] not in known:
            continue
        partners = known[folded[0]]
        found[row] = partners[folded[1]] if folded[1] in partners else min(partners.values())
    return found


def copy_shared(builder: MapBuilder, folded: dict[int, int]) -> dict[int, int]:
    """Copy the overlap and its ``folded`` relatives, where ``copy_overlap`` says so.

    Returns:
        Target id -> source row of all that is shared, copied or not.
    """
    shared = {row: old for row, old in builder.overlap.items() if builder.target_bytes[row]}
    builder.copy_overlap()
    if builder.config.copy_overlap:
        put_copies(builder, folded)
    return shared | folded


def put_copies(builder: MapBuilder, partners: dict[int, int]) -> None:
    """Rows of one source row each; computed, as the bytes differ."""
    rows = np.fromiter(partners, np.int64, len(partners))
    columns = np.fromiter(partners.values(), np.int64, len(partners))
    builder.put_entries(rows, columns, np.ones(len(partners)))


def anchors_in_byte_order(builder: MapBuilder, partners: dict[int, int]) -> list[int]:
    """Target ids by their bytes, so that sums over them do not depend on the numbering."""
    return sorted(partners, key=lambda row: (builder.target_bytes[row] or b"", partners[row]))


def cosine_notes(best: Tensor) -> dict[str, Any]:
    """Quantiles of each row's highest cosine."""
    return quantiles(best, "best_cosine")


def quantiles(values: Tensor, name: str) -> dict[str, Any]:
    """5 %, 50 % and 95 %; nothing of nothing."""
    if not len(values):
        return {}
    ordered = values.double().sort().values
    places = [round(share * (len(ordered) - 1)) for share in (0.05, 0.5, 0.95)]
    found = [round(float(ordered[place]), 4) for place in places]
    return {name: dict(zip(("q05", "q50", "q95"), found, strict=True))}


def warn_if_idle(method: str, computed: bool, fallback: str) -> None:
    """Say so where the method gave no row at all."""
    if not computed:
        logger.warning(
            "init_method=%s gave no row: no piece outside the copied ones has a usable vector; "
            "they all follow fallback=%s",
            method,
            fallback,
        )


def copy_or_say(builder: MapBuilder) -> None:
    """Copy the overlap; without ``copy_overlap``, as released, say what is not taken over.

    The releases replace a vocabulary by one of another language. A vocabulary that keeps the source
    language loses the rows of its words then.
    """
    builder.copy_overlap()
    shared = [row for row in builder.undecided() if row in builder.overlap]
    builder.notes["shared_not_copied"] = len(shared)
    if shared:
        logger.warning(
            "init_method=%s computes %d pieces that the source vocabulary has too "
            "(copy_overlap=false, as released). Where the new vocabulary keeps the source language "
            "its rows are lost: init_method.copy_overlap=true copies them",
            builder.config.name,
            len(shared),
        )
