"""Records gathered into rows and cells: duplicates collapsed, seeds and languages averaged."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from franken.report.metrics import primary_metric
from franken.report.records import Record
from franken.report.repeats import share_variants, without_repeats

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
        spread: standard deviation over seeds; with one seed the standard error over items.
        stderr: sampling error of ``value`` from the items alone.
        seeds: how many seeds.
        n: items per language and seed (the smallest).
        chance: accuracy of guessing, where known.
        languages: languages averaged over; 1 for a single one.
        interval: 95 % bootstrap interval over items, of a single language and seed that has one.
    """

    value: float
    spread: float | None
    stderr: float | None
    seeds: int
    n: int
    chance: float | None = None
    languages: int = 1
    interval: tuple[float, float] | None = None

    @property
    def at_chance(self) -> bool:
        """Whether the value does not exceed chance by two standard errors."""
        if self.chance is None:
            return False
        return self.value <= self.chance + 2 * (self.stderr or 0.0)


class Results:
    """All scores of a report, addressed by row, task, metric and language."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Args: ``records`` of any number of runs, in the order in which they should appear."""
        self.conflicts: list[str] = []
        self.records = self._told_apart(share_variants(without_repeats(records)))
        self._cells: dict[tuple[Row, str, str, str], list[Record]] = defaultdict(list)
        self._by_row: dict[Row, list[Record]] = defaultdict(list)
        for record in self.records:
            self._by_row[_row(record)].append(record)
            self._cells[_row(record), record.task, record.metric, record.lang].append(record)
        self.rows = _ordered_rows(self.records)
        self.tasks = list(dict.fromkeys(record.task for record in self.records))
        self._roles = _language_roles(self.records)

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
        return list(dict.fromkeys(r.metric for r in self.records if r.task == task))

    def primary(self, task: str) -> str:
        """The metric that stands for a task."""
        return primary_metric(self.metrics(task))

    def languages(self, task: str, metric: str) -> list[str]:
        """Languages scored, in order of appearance."""
        found = (r.lang for r in self.records if r.task == task and r.metric == metric)
        return list(dict.fromkeys(found))

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
        seeds: dict[int, list[Record]] = defaultdict(list)
        for lang in self.targets(task, metric):
            for record in self._cells.get((row, task, metric, lang), []):
                seeds[record.seed].append(record)
        most = max(map(len, seeds.values()), default=0)
        return _over_seeds({seed: own for seed, own in seeds.items() if len(own) == most})

    def gain(self, row: Row, task: str, metric: str, baseline: str) -> float | None:
        """Mean over target languages minus that of the baseline model of the same experiment."""
        reference = self.baseline(row, baseline)
        if reference is None or reference == row:
            return None
        own, other = self.mean(row, task, metric), self.mean(reference, task, metric)
        if own is None or other is None or own.languages != other.languages:
            return None
        return own.value - other.value

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


def _over_seeds(seeds: Mapping[int, Sequence[Record]]) -> Cell | None:
    """Average the languages of each seed, then the seeds."""
    if not seeds:
        return None
    values, errors = [], []
    for records in seeds.values():
        values.append(math.fsum(record.value for record in records) / len(records))
        known = [record.stderr for record in records if record.stderr is not None]
        whole = len(known) == len(records)
        errors.append(math.hypot(*known) / len(records) if whole else None)
    told = [error for error in errors if error is not None]
    stderr = math.hypot(*told) / len(values) if len(told) == len(values) else None
    records = [record for own in seeds.values() for record in own]
    chances = [float(r.extra["chance"]) for r in records if r.extra.get("chance") is not None]
    return Cell(
        value=math.fsum(values) / len(values),
        spread=statistics.stdev(values) if len(values) > 1 else stderr,
        stderr=stderr,
        seeds=len(values),
        n=min(record.n for record in records),
        chance=math.fsum(chances) / len(chances) if len(chances) == len(records) else None,
        languages=max(map(len, seeds.values())),
        interval=_interval(records),
    )


def _interval(records: Sequence[Record]) -> tuple[float, float] | None:
    """The bootstrap interval of a single record that has one."""
    if len(records) > 1:
        return None
    low, high = (records[0].extra.get(side) for side in ("low", "high"))
    return None if low is None or high is None else (float(low), float(high))
