"""What became of new tokens: one table and one figure from the scores of such a task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from franken.report.metrics import metric_of
from franken.report.records import Record
from franken.report.tables import Group, Table, View

if TYPE_CHECKING:
    from franken.report.plots import Plot

PER_LANGUAGE = (
    "new.share", "new.written", "new.mass", "new.probability", "old.probability", "new.rank",
    "old.rank", "new.dead",
)  # fmt: skip
OF_TABLE = ("new.norm", "new.cosine", "old.cosine", "new.moved", "old.moved", "new.changed")
_WHOLE = "all"
MAX_BARS = 24


def new_token_table(records: Iterable[Record]) -> Table | None:
    """One row per model and language, means over seeds; ``None`` where nothing was measured."""
    found = _by_row(records)
    if not found:
        return None
    names = [metric_of(name).label for name in PER_LANGUAGE]
    shape = [metric_of(name).label for name in OF_TABLE]
    table = Table(
        "new_tokens", "New tokens: read, expected, written, moved", ("model", "variant", "lang"),
        [Group("on text", tuple(names)), Group("rows of the table", tuple(shape))],
    )  # fmt: skip
    for (model, variant, lang), values in found.items():
        if lang == _WHOLE:
            continue
        whole = found.get((model, variant, _WHOLE), {})
        table.labels.append((model, variant, lang))
        table.views.append(
            [_view(values.get(name), name) for name in PER_LANGUAGE]
            + [_view(whole.get(name), name) for name in OF_TABLE]
        )
    table.notes.append(
        "New: tokens that the base's vocabulary has not. Expected: the probability that some new "
        "token comes, to be compared with their share of the text. Dead: new tokens of the text "
        "that are nowhere the most likely one and never written. Norm: new rows over old ones; "
        "moved: mean change by training over the norm before."
    )
    return table


def draw_new_tokens(records: Sequence[Record], path: Path) -> list[Plot]:
    """Probability of the token that comes, new against old; nothing where it was not measured."""
    from franken.report.plots import INK, PALETTE, empty_figure, save_figure

    rows = [
        (row, values) for row, values in _by_row(records).items() if "new.probability" in values
    ]
    if not rows:
        return []
    rows = rows[:MAX_BARS]
    figure, axes = empty_figure(8.0, 1.7 + 0.4 * len(rows))
    for number, (kind, words) in enumerate((("new", "new tokens"), ("old", "old tokens"))):
        places = [at + 0.36 * number for at in range(len(rows))]
        values = [100 * own.get(f"{kind}.probability", 0.0) for _, own in rows]
        axes.barh(places, values, height=0.34, color=PALETTE[number], label=words)
    axes.set_yticks([at + 0.18 for at in range(len(rows))], [_label(*row) for row, _ in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_xlabel("mean probability of the token that comes (%)", color=INK)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return [save_figure(figure, path, finding(records))]


def _label(model: str, variant: str, lang: str) -> str:
    return f"{model} ({variant}), {lang}" if variant else f"{model}, {lang}"


def finding(records: Iterable[Record]) -> str:
    """What the figure says."""
    gaps = {
        row: own["new.probability"] - own["old.probability"]
        for row, own in _by_row(records).items()
        if "new.probability" in own and "old.probability" in own
    }
    below = sum(gap < 0 for gap in gaps.values())
    return f"New tokens are less expected than old ones in {below} of {len(gaps)} cases"


def _by_row(records: Iterable[Record]) -> dict[tuple[str, str, str], dict[str, float]]:
    grouped: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for record in records:
        if record.metric.startswith(("new.", "old.")):
            row = (record.model, record.variant, record.lang)
            grouped.setdefault(row, {}).setdefault(record.metric, []).append(record.value)
    return {row: {k: mean(v) for k, v in own.items()} for row, own in grouped.items()}


def _view(value: float | None, name: str) -> View:
    return View() if value is None else View(metric_of(name).shown(value), value)


def most_used_dead(items: Sequence[dict[str, object]], count: int) -> list[dict[str, object]]:
    """New tokens of the text that are never produced, most frequent first."""
    dead = [
        item
        for item in items
        if item["in_text"] and not item["most_likely"] and not item["written"]
    ]
    return dead[:count]
