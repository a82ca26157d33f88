"""What a reader should be warned of, computed from the numbers."""

from collections.abc import Iterable
from functools import lru_cache

from franken.report.metrics import is_accuracy, metric_of
from franken.report.results import Results, Row
from franken.report.vocabulary_notes import vocabulary_notes

NAMED = 6
"""Systems named in one note; more are counted."""


def computed_notes(results: Results) -> list[str]:
    """Sentences on seeds, chance, missing numbers, truncation and clashing runs."""
    return list(_computed_notes(results))


@lru_cache(maxsize=1)  # the console and the report tell the same
def _computed_notes(results: Results) -> tuple[str, ...]:
    return (
        *vocabulary_notes(results),
        *_seed_notes(results),
        *_chance_notes(results),
        *_gap_notes(results),
        *_truncation_notes(results),
        *_hidden_notes(results),
        *_form_notes(results),
        *_conflict_notes(results),
    )


def _systems(results: Results, rows: Iterable[Row]) -> str:
    """Labels of rows; a model with all its variants goes by its name alone."""
    chosen = list(rows)
    names: list[str] = []
    for row in chosen:
        kin = [r for r in results.rows if (r.experiment, r.model) == (row.experiment, row.model)]
        whole = len(kin) > 1 and all(other in chosen for other in kin)
        names.append(f"{row.model} (all variants)" if whole else row.label)
    return _listed(list(dict.fromkeys(names)))


def _listed(names: list[str]) -> str:
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _seed_notes(results: Results) -> list[str]:
    seeds = {row: {r.seed for r in results.records_of(row)} for row in results.rows}
    counts = sorted({len(own) for own in seeds.values()})
    if counts == [1]:
        return ["One seed: differences between trainings are not measured, only those over items."]
    if len(counts) > 1:
        few = [row for row, own in seeds.items() if len(own) < counts[-1]]
        return [f"Fewer than {counts[-1]} seeds: {_systems(results, few)}."]
    return []


def _chance_notes(results: Results) -> list[str]:
    notes = []
    for task in results.tasks:
        name = results.primary(task)
        if not is_accuracy(name):
            continue
        cells = {row: results.mean(row, task, name) for row in results.rows}
        known = {row: cell for row, cell in cells.items() if cell is not None}
        low = [row for row, cell in known.items() if cell.at_chance]
        if not low:
            continue
        chance = next(cell.chance for cell in known.values() if cell.chance is not None)
        shown = metric_of(name).shown(chance or 0.0)
        if len(low) == len(known):
            notes.append(f"{task}: every model is at chance ({shown} %) on the target languages.")
        else:
            systems = _systems(results, low)
            notes.append(f"{task}: at chance ({shown} %) on the target languages: {systems}.")
    return notes


def _gap_notes(results: Results) -> list[str]:
    notes = []
    for task in results.tasks:
        name = results.primary(task)
        languages = results.languages(task, name)
        lacking = [
            row
            for row in results.rows
            if any(results.cell(row, task, name, lang) is None for lang in languages)
            and not _scored_otherwise(results, row, task, name)
        ]
        if lacking:
            systems = _systems(results, lacking)
            notes.append(f"{task}: not all of {', '.join(languages)} scored for {systems}.")
    return notes


def _scored_otherwise(results: Results, row: Row, task: str, name: str) -> bool:
    """Whether a row has other metrics of a task and none of this one (bounds, no accuracies)."""
    metrics = {record.metric for record in results.records_of(row) if record.task == task}
    return bool(metrics) and name not in metrics


def _truncation_notes(results: Results) -> list[str]:
    counts: dict[str, int] = {}
    for record in results.records:
        if record.metric == results.primary(record.task):
            cut = int(record.extra.get("truncated", 0) or 0)
            counts[record.task] = counts.get(record.task, 0) + cut
    return [
        f"{task}: {count} prompts were longer than the model can read and lost their beginning."
        for task, count in counts.items()
        if count
    ]


def _hidden_notes(results: Results) -> list[str]:
    """Bits per byte of text that a vocabulary does not tell."""
    found: dict[tuple[str, str], float] = {}
    for record in results.records:
        hidden = float(record.extra.get("hidden", 0) or 0)
        if hidden > 0:
            mark = (f"{record.model} ({record.variant})" if record.variant else record.model,
                    record.lang)  # fmt: skip
            found[mark] = max(found.get(mark, 0.0), hidden)
    names = [f"{model} {lang} {100 * share:.2g} %" for (model, lang), share in found.items()]
    if not names:
        return []
    return [
        "bits per byte charge eight bits for each byte that unknown tokens hide; share of such "
        f"bytes: {_listed(names)}."
    ]


def _form_notes(results: Results) -> list[str]:
    """Tasks that some models are asked in chat form and others plainly."""
    notes = []
    for task in results.tasks:
        asked: dict[bool, list[Row]] = {}
        for row in results.rows:
            forms = {
                bool(record.extra["chat"])
                for record in results.records_of(row)
                if record.task == task and record.extra.get("chat") is not None
            }
            for form in forms:
                asked.setdefault(form, []).append(row)
        if len(asked) > 1:
            notes.append(
                f"{task}: asked in their chat template: {_systems(results, asked[True])}; plainly: "
                f"{_systems(results, asked[False])}. Set chat=both or chat=off to compare them."
            )
    return notes


def _conflict_notes(results: Results) -> list[str]:
    if not results.conflicts:
        return []
    return [
        f"Runs of equal name but different configuration are told apart in brackets: "
        f"{_listed(results.conflicts)}."
    ]
