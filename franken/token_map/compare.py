"""Two token maps beside each other: where rows come from, and how far their weights are apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from franken.errors import CompatibilityError
from franken.token_map.explain import phrase
from franken.token_map.token_map import Provenance, TokenMap


def compare_maps(
    first: TokenMap, second: TokenMap, *, top: int = 10, part: str = "input"
) -> dict[str, Any]:
    """Compare the rows of the tokens that both maps have, found by their bytes.

    Args:
        first: one map.
        second: another one over the same source vocabulary; target ids may differ.
        top: how many of the rows that differ most are listed.
        part: whose weights: ``input`` or ``output``.

    Returns:
        Plain JSON. ``moved``: rows by provenance in the one and the other. Over the rows that are
        weighted in both and a copy in at most one: mean ``jaccard`` of the supports, ``cosine`` and
        ``l1`` of the weights (0 equal, 2 disjoint, for rows that sum to 1). ``differing``: the rows
        with the largest ``l1``, in words.

    Raises:
        CompatibilityError: where the source vocabularies differ, or no token is in both.
    """
    _check_sources(first, second)
    pairs = _common_rows(first, second)
    rows = _compare_rows(first, second, pairs, part)
    kinds = first.provenance.numpy()[pairs[0]], second.provenance.numpy()[pairs[1]]
    copies = (kinds[0] <= int(Provenance.copied)) & (kinds[1] <= int(Provenance.copied))
    both = (rows.sizes[0] > 0) & (rows.sizes[1] > 0)
    judged = both & ~copies
    order = np.lexsort((pairs[0], -rows.l1))
    differing = [place for place in order[:top].tolist() if rows.l1[place] > 0]
    return {
        "methods": [item.notes.get("method", "") for item in (first, second)],
        "rows": [first.rows, second.rows],
        "common_rows": len(pairs[0]),
        "only_one": [first.rows - len(pairs[0]), second.rows - len(pairs[0])],
        "part": part,
        "moved": _moves(*kinds),
        "same_weights": int((rows.l1 == 0).sum()),
        "weighted_in_one": [
            int(((rows.sizes[side] > 0) & (rows.sizes[1 - side] == 0)).sum()) for side in (0, 1)
        ],
        "judged_rows": int(judged.sum()),
        "jaccard": _mean(rows.jaccard[judged]),
        "cosine": _mean(rows.cosine[judged]),
        "l1": _mean(rows.l1[judged]),
        "differing": [
            {
                "id": [int(pairs[0][place]), int(pairs[1][place])],
                "piece": first.labels.target[pairs[0][place]],
                "provenance": [Provenance(int(kind[place])).name for kind in kinds],
                "l1": float(rows.l1[place]),
                "cosine": float(rows.cosine[place]) if both[place] else None,
                "first": phrase(first, int(pairs[0][place]), part=part),
                "second": phrase(second, int(pairs[1][place]), part=part),
            }
            for place in differing
        ],
    }


@dataclass(frozen=True)
class _Rows:
    """Per common row."""

    sizes: tuple[np.ndarray, np.ndarray]
    jaccard: np.ndarray
    cosine: np.ndarray
    l1: np.ndarray


def _check_sources(first: TokenMap, second: TokenMap) -> None:
    if first.source_rows != second.source_rows or first.labels.source != second.labels.source:
        raise CompatibilityError(
            f"the maps draw on different source vocabularies ({first.source_rows} and "
            f"{second.source_rows} rows); compare maps of one base model"
        )


def _common_rows(first: TokenMap, second: TokenMap) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the tokens in both, by the first map's ids; padding left out."""
    places = {key: row for row, key in enumerate(second.keys)}
    real = [kinds.tolist() for kinds in (first.provenance, second.provenance)]
    pairs = [
        (row, places[key])
        for row, key in enumerate(first.keys)
        if key in places
        and real[0][row] != Provenance.padding
        and real[1][places[key]] != Provenance.padding
    ]
    if not pairs:
        raise CompatibilityError(
            f"the maps have no target token in common ({len(first.keys)} and {len(second.keys)} "
            "rows); compare maps of one target vocabulary"
        )
    common = np.array(pairs, dtype=np.int64)
    return common[:, 0], common[:, 1]


def _compare_rows(
    first: TokenMap, second: TokenMap, pairs: tuple[np.ndarray, np.ndarray], part: str
) -> _Rows:
    count, width = len(pairs[0]), first.source_rows
    codes, weights = zip(
        *(_entries(item, rows, part) for item, rows in zip((first, second), pairs, strict=True)),
        strict=True,
    )
    sizes = [np.bincount(code // width, minlength=count) for code in codes]
    shared, *places = np.intersect1d(codes[0], codes[1], assume_unique=True, return_indices=True)
    row = shared // width
    left, right = weights[0][places[0]], weights[1][places[1]]

    def summed(owners: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(owners, weights=values, minlength=count)

    total = sum(
        summed(code // width, np.abs(weight)) for code, weight in zip(codes, weights, strict=True)
    )
    gap = summed(row, np.abs(left - right) - np.abs(left) - np.abs(right))
    l1 = np.where(np.abs(total + gap) < 1e-9, 0.0, total + gap)
    norms = [summed(code // width, weight**2) for code, weight in zip(codes, weights, strict=True)]
    scale = np.sqrt(norms[0] * norms[1])
    common = np.bincount(row, minlength=count)
    union = sizes[0] + sizes[1] - common
    return _Rows(
        (sizes[0], sizes[1]),
        common / np.maximum(union, 1),
        summed(row, left * right) / np.where(scale > 0, scale, 1.0),
        l1,
    )


def _entries(token_map: TokenMap, rows: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """``place * S + source row`` and weight of every entry that is not 0, ascending."""
    sizes = token_map.sizes().numpy()
    place = np.full(token_map.rows, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    owner = np.repeat(place, sizes)
    weights = token_map.weights_of(part).numpy().astype(np.float64)
    kept = (owner >= 0) & (weights != 0)
    codes = owner[kept] * token_map.source_rows + token_map.indices.numpy()[kept]
    order = np.argsort(codes, kind="stable")
    return codes[order], weights[kept][order]


def _moves(first: np.ndarray, second: np.ndarray) -> list[dict[str, Any]]:
    """Rows by provenance in both, most first."""
    codes, counts = np.unique(first.astype(np.int64) * 16 + second, return_counts=True)
    found = [
        {"first": Provenance(code // 16).name, "second": Provenance(code % 16).name, "rows": rows}
        for code, rows in zip(codes.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found, key=lambda item: -item["rows"])


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
