"""From verdicts to figures: heat map, upper bounds, curves, budget.

With ``c(x, i, j)`` the verdict of pair (i, j) on sample x, M pairs, c_x right ones among them::

    acc(i, j)            = mean_x c
    upper bound          = mean_x max_ij c        no accuracy that anything reaches: a gold oracle
    by source layer i    = mean_x max_j c         by target layer j = mean_x max_i c
    UB(k)                = mean_x [1 - C(M - c_x, k) / C(M, k)]    best of k pairs drawn at random

UB(1) is the mean rate, UB(M) the upper bound. The vanilla run is not among the M pairs; the bound
with it is given beside.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from franken.inference.xtransplant.rows import SAMPLED, TRANSPLANT, only
from franken.resampling import best_of, bootstrap_mean
from franken.statistics import (
    Units,
    clustered_stderr,
    effective_trials,
    influences,
    wilson_interval,
)

BASELINES = ("vanilla", "pivot", "pim")
JUDGES = ("strict", "lenient", "option")


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of one judge on one set of samples.

    ``pairs`` is ``(X, M)`` over the pairs ``layers``, and ``asked`` says which of them the sample's
    set and language ran at all; ``plain`` has ``(X,)`` per baseline; ``draws`` is ``(X, K)`` over
    sampled answers (K may be 0).
    """

    ids: list[str]
    layers: list[tuple[int, int]]
    pairs: np.ndarray
    asked: np.ndarray
    plain: dict[str, np.ndarray]
    draws: np.ndarray

    def estimate(self, values: np.ndarray) -> dict[str, float | None]:
        """Mean of ``(X,)`` per-sample values, with its interval over questions."""
        return estimate(values, clusters_of(self.ids))


def verdicts(table: pa.Table, judge: str) -> Verdicts:
    """Verdicts of one judge; samples in the order of the table.

    A sample that was ended at its first right pair counts its missing pairs as wrong: its language
    ran them. Pairs that only other languages ran are none of its own. Samples of which the judge
    cannot judge every run (options whose first tokens are equal) are left out.
    """
    keys = _samples(table)
    unjudged = {
        key for key, said in zip(keys, table[judge].to_pylist(), strict=True) if said is None
    }
    if unjudged:
        table = table.filter(pa.array([key not in unjudged for key in keys]))
        keys = _samples(table)
    ids = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    group = [key.rsplit("/", 1)[0] for key in ids]
    runs = table["run"].to_pylist()
    spots = list(zip(table["source"].to_pylist(), table["target"].to_pylist(), strict=True))
    said = [bool(verdict) for verdict in table[judge].to_pylist()]
    layers = sorted({spot for spot, run in zip(spots, runs, strict=True) if run == TRANSPLANT})
    column = {pair: at for at, pair in enumerate(layers)}
    count = 1 + max((s for (s, _), run in zip(spots, runs, strict=True) if run == SAMPLED),
                    default=-1)  # fmt: skip
    pairs = np.zeros((len(ids), len(layers)), dtype=bool)
    of_group = {name: np.zeros(len(layers), dtype=bool) for name in group}
    draws = np.zeros((len(ids), count), dtype=bool)
    plain = {name: np.zeros(len(ids), dtype=bool) for name in BASELINES if name in set(runs)}
    for key, run, spot, right in zip(keys, runs, spots, said, strict=True):
        if run == TRANSPLANT:
            pairs[ids[key], column[spot]] = right
            of_group[group[ids[key]]][column[spot]] = True
        elif run == SAMPLED:
            draws[ids[key], spot[0]] = right
        else:
            plain[run][ids[key]] = right
    asked = np.array([of_group[name] for name in group])
    return Verdicts(list(ids), layers, pairs, asked, plain, draws)


def _samples(table: pa.Table) -> list[str]:
    """``set/language/id`` of every row."""
    named = zip(*(table[name].to_pylist() for name in ("set", "lang", "id")), strict=True)
    return ["/".join(parts) for parts in named]


def budgets(total: int) -> list[int]:
    """1, 2, 4, ... and M."""
    powers = [2**n for n in range(max(total, 1).bit_length())]
    return sorted({*[p for p in powers if p <= total], total} - {0})


def interval(values: np.ndarray, clusters: Sequence[str], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of per-sample values.

    A question asked in several languages is one cluster. Wilson's score interval for verdicts of 0
    and 1, which stays honest at 0 and n right, of as many independent trials as have the clustered
    error; a percentile bootstrap over clusters for shares in between.
    """
    count, own = len(values), len(set(clusters))
    if count < 2:
        return math.nan, math.nan
    if not np.isin(values, (0, 1)).all():
        return bootstrap_mean(values, seed, clusters)[1:]
    share, trials = float(values.mean()), float(count)
    if own < count:
        units = Units.of(clusters, values.astype(float).tolist())
        trials = effective_trials(share, clustered_stderr(influences([units])), own)
    return wilson_interval(share, trials)


def estimate(values: np.ndarray, clusters: Sequence[str]) -> dict[str, float | None]:
    """Mean of per-sample values with its interval."""
    low, high = interval(values, clusters)
    known = not math.isnan(low)
    return {
        "value": float(values.mean()), "low": low if known else None,
        "high": high if known else None,
    }  # fmt: skip


def clusters_of(ids: Sequence[str]) -> list[str]:
    """What samples ``set/language/id`` depend on together: the set's question."""
    return [f"{name}/{item}" for name, _, item in (key.split("/", 2) for key in ids)]


def figures(found: Verdicts, depth: int, *, cut: bool = False) -> dict[str, Any]:
    """Everything that is reported about one judge on one set of samples, as plain data.

    Where samples were ``cut`` at their first right pair, upper bounds are all that pairs can tell:
    rates, heat maps, curves and budgets would take pairs that were not finished for wrong ones.
    """
    summary: dict[str, Any] = {
        "n": len(found.ids),
        "pairs": int(found.asked.sum(axis=1).max(initial=0)),
        "plain": {name: found.estimate(values) for name, values in found.plain.items()},
        "plain_right": {name: values.astype(int).tolist() for name, values in found.plain.items()},
        "ids": found.ids,
    }
    if found.layers:
        summary |= _bounds(found) | {"cut": True} if cut else _of_pairs(found, depth)
    if found.draws.shape[1]:
        total = found.draws.shape[1]
        right = found.draws.sum(axis=1)
        summary |= {"draws": total, "sampled_right": right.tolist()}
        summary["sampled"] = {
            str(k): found.estimate(best_of(right, total, k)) for k in budgets(total)
        }  # fmt: skip
    return summary


def _bounds(found: Verdicts) -> dict[str, Any]:
    right = found.pairs.sum(axis=1)
    upper = right > 0
    summary: dict[str, Any] = {"upper_bound": found.estimate(upper), "right": right.tolist()}
    if "vanilla" in found.plain:
        summary["upper_bound_with_vanilla"] = found.estimate(upper | found.plain["vanilla"])
    return summary


def _of_pairs(found: Verdicts, depth: int) -> dict[str, Any]:
    """Bounds and rates; and per pair, where all samples ran the same ones."""
    right, total = found.pairs.sum(axis=1), found.asked.sum(axis=1)
    summary = _bounds(found) | {
        "mean_rate": found.estimate(right / total),
        "budget": {
            str(k): found.estimate(best_of(right, total, k)) for k in budgets(int(total.min()))
        },
    }
    if found.asked.all() and len(found.layers) > 1:
        cells = found.pairs.mean(axis=0)
        best = int(np.argmax(cells))
        summary |= {
            "median_rate": float(np.median(cells)),
            "best_pair": {"pair": list(found.layers[best]), "value": float(cells[best])},
            "heat": heat_map(found, depth),
            "by_source": _curve(found, depth, 0),
            "by_target": _curve(found, depth, 1),
        }
    return summary


def heat_map(found: Verdicts, depth: int) -> list[list[float | None]]:
    """``acc[i][j]``; ``None`` where a pair was not run."""
    cells: list[list[float | None]] = [[None] * depth for _ in range(depth)]
    for (i, j), value in zip(found.layers, found.pairs.mean(axis=0), strict=True):
        cells[i][j] = float(value)
    return cells


def _curve(found: Verdicts, depth: int, axis: int) -> list[dict[str, float | None] | None]:
    """Upper bound over the pairs with one source (axis 0) or target (axis 1) layer."""
    values: list[dict[str, float | None] | None] = []
    for layer in range(depth):
        own = [at for at, pair in enumerate(found.layers) if pair[axis] == layer]
        values.append(found.estimate(np.any(found.pairs[:, own], axis=1)) if own else None)
    return values


def blocks(table: pa.Table, depth: int, *, cut: bool = False) -> dict[str, Any]:
    """Set -> language (and ``overall``, all samples alike) -> judge -> figures.

    ``cut``: whether samples ended at their first right pair, see ``figures``.
    ``language_spread`` is the population standard deviation of the languages' upper bounds, as in
    the release.
    """
    found: dict[str, Any] = {}
    for name in dict.fromkeys(table["set"].to_pylist()):
        own = only(table, set=name)
        languages = list(dict.fromkeys(own["lang"].to_pylist()))
        parts = {lang: only(own, lang=lang) for lang in languages}
        entry = {lang: _judged(part, depth, cut=cut) for lang, part in parts.items()}
        overall = _judged(own, depth, cut=cut)
        for judge, summary in overall.items():
            bounds = [entry[lang].get(judge, {}).get("upper_bound") for lang in languages]
            if all(bounds):
                summary["language_spread"] = float(np.std([b["value"] for b in bounds if b]))
        found[name] = {"languages": entry, "overall": overall}
    return found


def _judged(table: pa.Table, depth: int, *, cut: bool) -> dict[str, Any]:
    judged = {judge: verdicts(table, judge) for judge in JUDGES}
    return {judge: figures(found, depth, cut=cut) for judge, found in judged.items() if found.ids}
