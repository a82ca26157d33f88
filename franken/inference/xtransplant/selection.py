"""Search of one fixed pair on a pilot set."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from franken.errors import ArtifactError, DataError
from franken.files import read_json
from franken.inference.base import Scope, SelectConfig, SelectMode, TieBreak
from franken.inference.xtransplant.bounds import verdicts
from franken.inference.xtransplant.choices import Stop
from franken.inference.xtransplant.contract import Pair
from franken.inference.xtransplant.plan import absolute
from franken.inference.xtransplant.rows import TRANSPLANT, only
from franken.seeds import derive_seed

ALL = "all"
"""Stands for every language of a set (``scope=task``)."""


def best_pair(
    layers: Sequence[Pair], right: Sequence[int], tie_break: TieBreak, seed: int = 0
) -> Pair:
    """The pair with most right samples.

    The paper's tie-break takes the smallest target layer, then the largest source layer; where no
    pair is ever right that gives (N - 1, 0).
    """
    most = max(right)
    best = [pair for pair, count in zip(layers, right, strict=True) if count == most]
    if tie_break is TieBreak.random:
        return random.Random(seed).choice(sorted(best))
    return min(best, key=lambda pair: (pair[1], -pair[0]))


def check_whole(summary: Mapping[str, Any]) -> None:
    """Refuse a grid whose samples could end before all their pairs were finished.

    Args:
        summary: of the step that ran the grid.

    Raises:
        DataError: naming the step and the option.
    """
    stop, cut = summary["inference"].get("stop"), summary["cut_samples"]
    if stop == Stop.first_correct or cut:
        raise DataError(
            f"pairs cannot be chosen from the grid {summary['step']!r}: it ran with "
            f"inference.stop={stop}, and {cut} samples ended at their first right pair, so pairs "
            "cannot be compared; use inference.stop=text or verdict"
        )


def select_pairs(
    table: pa.Table, config: SelectConfig, depth: int, seed: int = 0
) -> list[dict[str, Any]]:
    """One entry per set and language: the pair, its pilot accuracy, how many tied, the pilot's ids.

    Raises:
        DataError: where the pilot run lacks the pairs that the mode searches.
    """
    table = only(table, run=TRANSPLANT)
    if not table.num_rows:
        raise DataError(
            "the pilot run holds no transplant to choose from; run it with inference=xtransplant"
        )
    found = []
    for name in dict.fromkeys(table["set"].to_pylist()):
        own = only(table, set=name)
        languages = list(dict.fromkeys(own["lang"].to_pylist()))
        groups = [languages] if config.scope is Scope.task else [[lang] for lang in languages]
        for group in groups:
            part = own.filter(pc.is_in(own["lang"], pa.array(group)))
            lang = ALL if config.scope is Scope.task else group[0]
            found.append(_entry(part, config, depth, name, lang, seed))
    return found


def _entry(
    table: pa.Table, config: SelectConfig, depth: int, name: str, lang: str, seed: int
) -> dict[str, Any]:
    judged = verdicts(table, str(config.judge))
    if not judged.ids:
        raise DataError(
            f"{name} {lang}: no sample can be judged by select.judge={config.judge} (it has no "
            "options, or one token does not tell them apart); use strict or lenient"
        )
    if table.num_rows < judged.asked.sum():
        raise DataError(
            f"{name} {lang}: samples of the pilot run ended before all their pairs were finished "
            "(inference.stop=first_correct), so pairs cannot be compared; use stop=text or verdict"
        )
    wanted = [at for at, pair in enumerate(judged.layers) if _competes(pair, config.mode, depth)]
    if not wanted:
        raise DataError(
            f"{name} {lang}: the pilot run holds no pair that select.mode={config.mode} searches; "
            "run it with inference.pairs=grid, or with the set of that name"
        )
    samples = _first(table, judged.ids, config.pilot)
    cells = judged.pairs[np.ix_(samples, wanted)]
    right = cells.sum(axis=0).tolist()
    layers = [judged.layers[at] for at in wanted]
    pair = best_pair(layers, right, config.tie_break, derive_seed(seed, "select", name, lang))
    return {
        "set": name, "lang": lang, "pair": list(pair), "pilot_n": len(samples),
        "pilot_accuracy": max(right) / len(samples), "tied": right.count(max(right)),
        "searched": len(layers), "mean_accuracy": float(cells.mean()),
        "pilot_ids": [judged.ids[at] for at in samples],
    }  # fmt: skip


def _first(table: pa.Table, ids: list[str], pilot: int | None) -> list[int]:
    """The first samples of every language."""
    seen: dict[str, int] = {}
    kept = []
    for at, key in enumerate(ids):
        lang = key.split("/")[1]
        seen[lang] = seen.get(lang, 0) + 1
        if pilot is None or seen[lang] <= pilot:
            kept.append(at)
    return kept


def _competes(pair: Pair, mode: SelectMode, depth: int) -> bool:
    match mode:
        case SelectMode.targetfirst:
            return pair[1] == 0
        case SelectMode.sourcelast:
            return pair[0] == depth - 1
    return True


class ChosenPairs:
    """Pairs by set and language, as ``select_pairs`` or a person wrote them."""

    def __init__(self, entries: Any, depth: int, where: str) -> None:
        """Check the entries against a model with ``depth`` layers."""
        self.where = where
        self._pairs: dict[tuple[str, str], Pair] = {}
        self.pilot_ids: set[str] = set()
        if not isinstance(entries, list) or not entries:
            raise ArtifactError(f"{where}: expected a list of entries with set, lang and pair")
        for entry in entries:
            try:
                key = (str(entry["set"]), str(entry["lang"]))
                (pair,) = absolute([entry["pair"]], depth)
            except (KeyError, TypeError, ValueError) as error:
                raise ArtifactError(
                    f"{where}: an entry needs set, lang and pair [source, target]: {entry!r} "
                    f"({error!r})"
                ) from None
            self._pairs[key] = pair
            self.pilot_ids |= set(map(str, entry.get("pilot_ids", [])))

    @classmethod
    def read(cls, path: Path, depth: int) -> "ChosenPairs":
        """From ``pairs.json``."""
        try:
            return cls(read_json(path), depth, str(path))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read as chosen pairs: {error}") from error

    def of(self, name: str, lang: str) -> Pair:
        """The pair of a set and language.

        Raises:
            DataError: where none was chosen.
        """
        for key in ((name, lang), (name, ALL)):
            if key in self._pairs:
                return self._pairs[key]
        known = ", ".join("/".join(key) for key in self._pairs)
        raise DataError(f"{self.where} has no pair for {name}/{lang}; it has {known}")

    def check_disjoint(self, ids: Sequence[str]) -> None:
        """Refuse to score on samples that the pairs were chosen on.

        Raises:
            DataError: naming one of them.
        """
        both = sorted(self.pilot_ids & set(ids))
        if both:
            raise DataError(
                f"{len(both)} samples (such as {both[0]}) are among those on which {self.where} "
                "was chosen; selection and evaluation must be disjoint: use part: rest"
            )
