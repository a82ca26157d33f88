"""Records gathered into rows and cells: duplicates collapsed, seeds and languages averaged."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from franken.report.metrics import is_accuracy, primary_metric
from franken.report.records import Record
from franken.report.repeats import share_variants, without_repeats
from franken.statistics import (
    Comparison,
    Units,
    clustered_stderr,
    compare,
    influences,
    wilson_interval,
)
from franken.statistics.intervals import effective_trials, is_extreme

SOURCE_GUESSES = ("en", "eng_Latn", "eng")
"""Source language of records that do not say which it is."""


@dataclass(frozen=True)
class Row:
    """One system of the tables."""

    experiment: str
    recipe: str
    model: str
    variant: str

    @property
    def label(self) -> str:
        """``model`` or ``model (variant)``."""
        return f"{self.model} ({self.variant})" if self.variant else self.model


@dataclass(frozen=True)
class Cell:
    """One aggregated number.

    Attributes:
        value: mean over seeds (and over languages for means).
        spread: standard deviation over seeds; ``None`` for one seed.
        stderr: error of ``value`` over the items: the same item in another language or under
            another seed is one. Where the items are not known, it is as if all were the same.
        seeds: how many seeds.
        n: items per language and seed (the smallest).
        chance: accuracy of guessing, where known.
        languages: languages averaged over; 1 for a single one.
        interval: 95 % interval over items: Wilson's for accuracies near 0 and 1, the bootstrap's
            where a single language and seed has one.
        set_size: items of the whole set per language, where known.
    """

    value: float
    spread: float | None
    stderr: float | None
    seeds: int
    n: int
    chance: float | None = None
    languages: int = 1
    interval: tuple[float, float] | None = None
    set_size: int | None = None
    of_more: bool = False
    """Whether the items are the first ones of a set that was not counted."""
    extreme: bool = False
    """Whether it is an accuracy so near 0 or 1 that an error bar says nothing."""

    @property
    def at_chance(self) -> bool:
        """Whether the value does not exceed chance by two standard errors."""
        if self.chance is None:
            return False
        low = self.interval[0] if self.interval else self.value - 2 * (self.stderr or 0.0)
        return low <= self.chance


class Results:
    """All scores of a report, addressed by row, task, metric and language."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Args: ``records`` of any number of runs, in the order in which they should appear."""
        self.conflicts: list[str] = []
        self.records = self._told_apart(share_variants(without_repeats(records)))
        self._cells: dict[tuple[Row, str, str, str], list[Record]] = defaultdict(list)
        self._by_row: dict[Row, list[Record]] = defaultdict(list)
        self._languages: dict[str, dict[str, dict[str, None]]] = {}
        """Task -> metric -> languages, all in order of appearance."""
        for record in self.records:
            metrics = self._languages.setdefault(record.task, {})
            metrics.setdefault(record.metric, {})[record.lang] = None
            self._by_row[_row(record)].append(record)
            self._cells[_row(record), record.task, record.metric, record.lang].append(record)
        self.rows = _ordered_rows(self.records)
        self._roles = _language_roles(self.records)
        adapted = {r.task for r in self.records if self._roles[r.lang] == "target"}
        self.tasks = sorted(self._languages, key=lambda task: task not in adapted)
        """Those with a language adapted to come first, else as they appear."""

    def _told_apart(self, records: list[Record]) -> list[Record]:
        """Give runs of equal name but different key names of their own."""
        keys: dict[tuple[object, ...], set[str]] = defaultdict(set)
        names: dict[tuple[Row, int], dict[str, str]] = defaultdict(dict)
        for record in records:
            row = _row(record)
            keys[row, record.seed, record.task, record.metric, record.lang].add(record.key)
            name = str(record.extra.get("run", "")) or record.key[:8]
            names[row, record.seed].setdefault(record.key, name)
        rows = {mark[0] for mark, own in keys.items() if len(own) > 1}
        self.conflicts = [row.label for row in dict.fromkeys(map(_row, records)) if row in rows]
        told = []
        for record in records:
            row = _row(record)
            if row in rows:
                own = names[row, record.seed]
                name = own[record.key]
                if list(own.values()).count(name) > 1:
                    name = record.key[:8]
                variant = f"{record.variant} [{name}]".strip()
                record = replace(record, variant=variant)
            told.append(record)
        return told

    def metrics(self, task: str) -> list[str]:
        """Metrics of a task, in order of appearance."""
        return list(self._languages.get(task, {}))

    def primary(self, task: str) -> str:
        """The metric that stands for a task."""
        return primary_metric(self.metrics(task))

    def languages(self, task: str, metric: str) -> list[str]:
        """Languages scored, in order of appearance."""
        return list(self._languages.get(task, {}).get(metric, {}))

    def sources(self, task: str, metric: str) -> list[str]:
        """Languages that the base model knows and that are not adapted to."""
        return [lang for lang in self.languages(task, metric) if self._roles[lang] != "target"]

    def targets(self, task: str, metric: str) -> list[str]:
        """Languages adapted to."""
        return [lang for lang in self.languages(task, metric) if self._roles[lang] == "target"]

    def records_of(self, row: Row) -> list[Record]:
        """All records of a row."""
        return self._by_row[row]

    def cell(self, row: Row, task: str, metric: str, lang: str) -> Cell | None:
        """One language, over the seeds."""
        records = self._cells.get((row, task, metric, lang), [])
        return _over_seeds({record.seed: [record] for record in records})

    def mean(self, row: Row, task: str, metric: str) -> Cell | None:
        """Mean over the target languages that the row has, over the seeds.

        A seed that lacks some of the row's languages is left out.
        """
        return _over_seeds(self.parts(row, task, metric, None))

    def parts(self, row: Row, task: str, metric: str, lang: str | None) -> dict[int, list[Record]]:
        """Seed -> the records that are averaged; ``None``: those of the target languages."""
        languages = self.targets(task, metric) if lang is None else [lang]
        seeds: dict[int, list[Record]] = defaultdict(list)
        for language in languages:
            for record in self._cells.get((row, task, metric, language), []):
                seeds[record.seed].append(record)
        most = max(map(len, seeds.values()), default=0)
        return {seed: own for seed, own in seeds.items() if len(own) == most}

    def gain(self, row: Row, task: str, metric: str, baseline: str) -> Comparison | None:
        """The difference to the baseline of the same experiment on the target languages."""
        reference = self.baseline(row, baseline)
        if reference is None or reference == row:
            return None
        return compared(
            self.parts(reference, task, metric, None), self.parts(row, task, metric, None)
        )

    def baseline(self, row: Row, model: str) -> Row | None:
        """The row of ``model`` that ``row`` is compared with: same variant, else without one."""
        own = [r for r in self.rows if r.model == model and r.experiment == row.experiment]
        for variant in (row.variant, ""):
            for candidate in own:
                if candidate.variant == variant:
                    return candidate
        return own[0] if len(own) == 1 else None


def _row(record: Record) -> Row:
    return Row(record.experiment, record.recipe, record.model, record.variant)


def _ordered_rows(records: Sequence[Record]) -> list[Row]:
    """Experiments, then models in recipe order, then variants, each by first appearance."""
    experiments = _ranks(record.experiment for record in records)
    models = _ranks(record.model for record in records)
    variants = _ranks(record.variant for record in records)
    rows = dict.fromkeys(map(_row, records))
    return sorted(
        rows, key=lambda r: (experiments[r.experiment], models[r.model], variants[r.variant])
    )


def _ranks(names: Iterable[str]) -> dict[str, int]:
    return {name: rank for rank, name in enumerate(dict.fromkeys(names))}


def _language_roles(records: Sequence[Record]) -> dict[str, str]:
    """Language -> ``source``, ``target`` or ``other``; guessed where no record says it."""
    roles: dict[str, str] = {}
    for record in records:
        told = record.extra.get("lang_role")
        guess = "source" if record.lang in SOURCE_GUESSES else "target"
        if told is not None or record.lang not in roles:
            roles[record.lang] = str(told or guess)
    return roles


class _Parts:
    """Records by seed; equal where they are of the same objects, which it keeps."""

    def __init__(self, seeds: Mapping[int, Sequence[Record]]) -> None:
        self.seeds = {seed: tuple(own) for seed, own in seeds.items()}
        self._mark = tuple((seed, *map(id, own)) for seed, own in self.seeds.items())

    def __hash__(self) -> int:
        return hash(self._mark)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Parts) and self._mark == other._mark


def _over_seeds(seeds: Mapping[int, Sequence[Record]]) -> Cell | None:
    """Average the languages of each seed, then the seeds."""
    return _averaged(_Parts(seeds)) if seeds else None


@lru_cache(maxsize=4096)  # tables ask for a score again whenever it is compared
def _averaged(parts: _Parts) -> Cell:
    seeds = parts.seeds
    values = [
        math.fsum(record.value for record in records) / len(records) for records in seeds.values()
    ]
    records = [record for own in seeds.values() for record in own]
    value, stderr = math.fsum(values) / len(values), stderr_of(records)
    chances = [float(r.extra["chance"]) for r in records if r.extra.get("chance") is not None]
    sizes = {record.extra.get("set_size") for record in records}
    extreme = _extreme_interval(records, value, stderr)
    return Cell(
        value=value,
        spread=statistics.stdev(values) if len(values) > 1 else None,
        stderr=stderr,
        seeds=len(values),
        n=min(record.n for record in records),
        chance=math.fsum(chances) / len(chances) if len(chances) == len(records) else None,
        languages=max(map(len, seeds.values())),
        interval=extreme or _interval(records),
        extreme=extreme is not None,
        of_more=any(record.extra.get("of_more") for record in records),
        set_size=int(max(sizes)) if sizes and None not in sizes else None,  # type: ignore[type-var,arg-type]
    )


def _units(records: Sequence[Record]) -> list[Units] | None:
    units = [record.units for record in records if record.units is not None]
    return units if units and len(units) == len(records) else None


def stderr_of(records: Sequence[Record]) -> float | None:
    """Over items; where these are not known, as if all records were of the same ones."""
    units = _units(records)
    if units is not None:
        return clustered_stderr(influences(units))
    errors = [record.stderr for record in records if record.stderr is not None]
    return math.fsum(errors) / len(errors) if len(errors) == len(records) else None


def _extreme_interval(
    records: Sequence[Record], value: float, stderr: float | None
) -> tuple[float, float] | None:
    """Wilson's interval of an accuracy near 0 or 1."""
    if not is_accuracy(records[0].metric):
        return None
    units = _units(records)
    clusters = {group for own in units for group in own.groups} if units else set()
    count = len(clusters) if clusters else min(record.n for record in records)
    trials = effective_trials(value, stderr, count)
    return wilson_interval(value, trials) if is_extreme(value, trials) else None


def _interval(records: Sequence[Record]) -> tuple[float, float] | None:
    """The bootstrap interval of a single record that has one."""
    if len(records) > 1:
        return None
    low, high = (records[0].extra.get(side) for side in ("low", "high"))
    return None if low is None or high is None else (float(low), float(high))


def compared(
    first: Mapping[int, Sequence[Record]], second: Mapping[int, Sequence[Record]]
) -> Comparison | None:
    """``second - first``: item by item where both have the same ones, else by their errors.

    Args:
        first: seed -> records that are averaged.
        second: likewise.

    Returns:
        ``None`` where either is empty, or they are of different languages.
    """
    return _compared(_Parts(first), _Parts(second))


@lru_cache(maxsize=4096)  # a table on the console and one in a file hold the same
def _compared(one: _Parts, two: _Parts) -> Comparison | None:
    first, second = one.seeds, two.seeds
    sides = [_over_seeds(side) for side in (first, second)]
    own, other = sides
    if own is None or other is None or own.languages != other.languages:
        return None
    value = other.value - own.value
    units = [{seed: _units(part) for seed, part in side.items()} for side in (first, second)]
    if all(part is not None for side in units for part in side.values()):
        found = compare(*units)  # type: ignore[arg-type]
        if found is not None:
            return replace(found, value=value)
    errors = [_unpaired_error(cell) for cell in (own, other)]
    if None in errors:
        return Comparison(value, None, None, "unpaired", 0)
    stderr = math.hypot(*errors)  # type: ignore[arg-type]
    p = math.erfc(abs(value) / stderr / math.sqrt(2)) if stderr else float(value == 0)
    return Comparison(value, stderr, p, "unpaired", 0)


def _unpaired_error(cell: Cell) -> float | None:
    """The larger of the errors over items and over seeds."""
    over_seeds = None if cell.spread is None else cell.spread / math.sqrt(cell.seeds)
    known = [error for error in (cell.stderr, over_seeds) if error is not None]
    return max(known, default=None)
