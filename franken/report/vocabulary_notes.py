"""Where a new vocabulary does worse than the one that it came from, in bits per byte."""

from collections.abc import Iterable

from franken.report.metrics import metric_of
from franken.report.results import Results, Row, compared

BITS = "bits_per_byte"
UNTOUCHED = "base"
"""The model of a recipe whose vocabulary the others started from."""


def vocabulary_notes(results: Results) -> list[str]:
    """One sentence per target language in which the old vocabulary wins.

    Two comparisons, each over the same held-out text: every model with a new vocabulary against the
    untouched base, and the best of them against the best model that kept the old vocabulary (such
    as one tuned on as many bytes).
    """
    notes = []
    for task in results.tasks:
        if results.primary(task) == BITS:
            for lang in results.targets(task, BITS):
                notes += _of_language(results, task, lang)
    return notes


def _of_language(results: Results, task: str, lang: str) -> list[str]:
    def shown(rows: Iterable[Row]) -> str:
        return ", ".join(f"{row.label} {_bits(results, row, task, lang):.3f}" for row in rows)

    notes = []
    groups: dict[Row, tuple[list[Row], list[Row]]] = {}
    for row in results.rows:
        base = results.baseline(row, UNTOUCHED)
        if base is None or any(results.cell(r, task, BITS, lang) is None for r in (row, base)):
            continue
        same = _tokens(results, row, task, lang) == _tokens(results, base, task, lang)
        groups.setdefault(base, ([], []))[0 if same else 1].append(row)
    for base, (kept, new) in groups.items():
        if not new:
            continue
        losing = [row for row in new if _worse(results, row, base, task, lang)]
        if losing:
            notes.append(
                f"{task}, {lang}: the new vocabulary loses to the untouched model "
                f"({shown([base])} {metric_of(BITS).label}): {shown(losing)}."
            )
        best, other = (
            min(rows, key=lambda row: _bits(results, row, task, lang)) for rows in (new, kept)
        )
        if other != base and _worse(results, best, other, task, lang):
            notes.append(
                f"{task}, {lang}: the old vocabulary is better where it is trained too: "
                f"{shown([other])} against {shown([best])}."
            )
    return notes


def _bits(results: Results, row: Row, task: str, lang: str) -> float:
    cell = results.cell(row, task, BITS, lang)
    return float("inf") if cell is None else cell.value


def _tokens(results: Results, row: Row, task: str, lang: str) -> set[object]:
    """In how many tokens a row reads the text: what tells vocabularies apart."""
    parts = results.parts(row, task, BITS, lang)
    return {record.extra.get("tokens") for own in parts.values() for record in own}


def _worse(results: Results, row: Row, than: Row, task: str, lang: str) -> bool:
    found = compared(results.parts(than, task, BITS, lang), results.parts(row, task, BITS, lang))
    return found is not None and found.value > 0 and found.clear
