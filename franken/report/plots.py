"""Plots as PNG files: accuracy, bits per byte, tokens per byte, training curves.

Titles state what the numbers say and are computed from them. Figures are drawn without pyplot, so
no global state of matplotlib is touched.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from franken.files import write_atomically
from franken.report.findings import (
    accuracy_finding,
    bits_finding,
    counts_text,
    curve_finding,
    token_finding,
    tokenizer_series,
)
from franken.report.metrics import is_accuracy, metric_of
from franken.report.results import Cell, Results, Row
from franken.report.runs import Point, Run, shared_steps

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008): told apart with all common kinds of colour blindness."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
INK = "#333333"
MAX_BARS = 30
"""Systems in one bar plot; beyond that the best ones are drawn."""
MAX_SERIES = len(PALETTE)
MAX_CURVES = 12
DPI = 130
TITLE_LETTERS = 11
"""Letters of a title per inch of width."""


@dataclass(frozen=True)
class Plot:
    """A figure on disk and what it shows."""

    path: Path
    title: str


def draw_plots(
    results: Results,
    curves: Mapping[str, Sequence[Point]],
    directory: Path,
    *,
    baseline: str = "instruct",
) -> list[Plot]:
    """Draw every plot that the records allow.

    Args:
        results: the scores.
        curves: training curves, as ``training_curves`` gathers them.
        directory: where ``*.png`` go.
        baseline: the model that titles compare with.

    Returns:
        The plots in reading order.
    """
    plots = []
    for task in results.tasks:
        metric = results.primary(task)
        if is_accuracy(metric):
            plots.append(_accuracy(results, task, metric, directory, baseline))
        elif metric == "bits_per_byte":
            plots.append(_bits(results, task, directory))
        elif metric == "tokens_per_byte":
            plots.append(_tokens(results, task, directory))
    plots.append(_curves(curves, directory))
    return [plot for plot in plots if plot is not None]


def empty_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches and its axes, in the style of all."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path, title: str) -> Plot:
    return save_figure(figure, path, title)


def save_figure(figure: Any, path: Path, title: str) -> Plot:
    """Write a figure as PNG, with its title wrapped to its width."""
    width = int(figure.get_figwidth() * TITLE_LETTERS)
    text = "\n".join(textwrap.wrap(title, width))
    figure.suptitle(text, fontsize=11, x=0.01, ha="left", color="black")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    write_atomically(path, buffer.getvalue())
    return Plot(path, title)


def _wrapped(row: Row, results: Results) -> str:
    several = len({other.experiment for other in results.rows}) > 1
    text = f"{row.experiment}: {row.label}" if several else row.label
    return "\n".join(textwrap.wrap(text, 34, break_long_words=True))


def _accuracy(
    results: Results, task: str, name: str, directory: Path, baseline: str
) -> Plot | None:
    """Horizontal bars: target mean with its spread; the source language as a diamond."""
    metric = metric_of(name)
    drawn = [(row, results.mean(row, task, name)) for row in results.rows]
    bars: list[tuple[Row, Cell]] = [(row, cell) for row, cell in drawn if cell is not None]
    if not bars:
        return None
    left_out = len(bars) - MAX_BARS
    if left_out > 0:
        best = sorted(bars, key=lambda bar: -bar[1].value)[:MAX_BARS]
        bars = [bar for bar in bars if bar in best]
    models = list(dict.fromkeys(row.model for row, _ in bars))
    figure, axes = empty_figure(8.0, 1.6 + 0.36 * len(bars))
    heights = list(range(len(bars)))
    axes.barh(
        heights,
        [cell.value * metric.factor for _, cell in bars],
        xerr=[(cell.stderr or 0.0) * metric.factor for _, cell in bars],
        color=[PALETTE[models.index(row.model) % len(PALETTE)] for row, _ in bars],
        error_kw={"ecolor": INK, "elinewidth": 1.2, "capsize": 3},
        height=0.7,
        label="mean over target languages",
    )
    for lang in results.sources(task, name)[:1]:
        cells = [results.cell(row, task, name, lang) for row, _ in bars]
        places = [(at, cell) for at, cell in zip(heights, cells, strict=True) if cell is not None]
        axes.scatter(
            [cell.value * metric.factor for _, cell in places],
            [at for at, _ in places],
            marker="D", s=34, facecolor="white", edgecolor="black", zorder=3, clip_on=False,
            label=f"source language ({lang})",
        )  # fmt: skip
    chance = next((cell.chance for _, cell in bars if cell.chance is not None), None)
    if chance is not None:
        axes.axvline(chance * metric.factor, color=INK, linestyle="--", linewidth=1, label="chance")
    axes.set_yticks(heights, [_wrapped(row, results) for row, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 100 if metric.factor == 100 else None)
    axes.set_xlabel(metric.label, color=INK)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    figure.legend(
        *_without_bar_colour(axes), loc="outside lower left", ncols=3, frameon=False, fontsize=9
    )
    title = accuracy_finding(results, task, baseline=baseline)
    if left_out > 0:
        title += f" (best {MAX_BARS} of {left_out + MAX_BARS} systems)"
    return _save(figure, axes, directory / f"accuracy_{slug(task)}.png", title)


def _without_bar_colour(axes: Any) -> tuple[list[Any], list[str]]:
    """Legend entries; bars differ in colour by model, so theirs is grey."""
    from matplotlib.patches import Patch

    handles, labels = axes.get_legend_handles_labels()
    shown = [
        Patch(facecolor="#999999", label=label) if label.startswith("mean") else handle
        for handle, label in zip(handles, labels, strict=True)
    ]
    return shown, labels


def _best_variants(results: Results, task: str, name: str) -> list[Row]:
    """Of every model the variant with the best target mean."""
    better = metric_of(name).better
    best: dict[tuple[str, str], tuple[Row, float]] = {}
    for row in results.rows:
        cell = results.mean(row, task, name)
        if cell is None:
            continue
        key = (row.experiment, row.model)
        if key not in best or (cell.value - best[key][1]) * better > 0:
            best[key] = (row, cell.value)
    return [row for row, _ in best.values()][:MAX_SERIES]


def _bits(results: Results, task: str, directory: Path) -> Plot | None:
    """One line per language, one mark per model."""
    name = "bits_per_byte"
    rows = _best_variants(results, task, name)
    if not rows:
        return None
    languages = [*results.targets(task, name), *results.sources(task, name)]
    figure, axes = empty_figure(8.0, 1.9 + (0.25 + 0.1 * len(rows)) * len(languages))
    for number, row in enumerate(rows):
        cells = [results.cell(row, task, name, lang) for lang in languages]
        found = [(at, cell) for at, cell in enumerate(cells) if cell is not None]
        offset = 0.0 if len(rows) == 1 else 0.64 * (number / (len(rows) - 1) - 0.5)
        axes.errorbar(
            [cell.value for _, cell in found],
            [at + offset for at, _ in found],
            xerr=[cell.stderr or 0.0 for _, cell in found],
            fmt=MARKERS[number], color=PALETTE[number], markersize=6, elinewidth=1, capsize=2,
            label=row.label,
        )  # fmt: skip
    for at in range(len(languages) - 1):
        axes.axhline(at + 0.5, color="#e6e6e6", linewidth=0.8)
    _language_axis(axes, languages, results.sources(task, name))
    axes.set_xlim(left=0)
    axes.set_xlabel("bits per UTF-8 byte of held-out text (lower is better)", color=INK)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    path = directory / f"bits_{slug(task)}.png"
    return _save(figure, axes, path, bits_finding(results, task))


def _tokens(results: Results, task: str, directory: Path) -> Plot | None:
    """Bars by language, one colour per vocabulary."""
    name = "tokens_per_byte"
    series = tokenizer_series(results, task)[:MAX_SERIES]
    if not series:
        return None
    languages = [*results.targets(task, name), *results.sources(task, name)]
    figure, axes = empty_figure(8.0, 1.9 + 0.22 * len(languages) * (len(series) + 1))
    thickness = 0.8 / len(series)
    for number, (label, row) in enumerate(series):
        cells = [results.cell(row, task, name, lang) for lang in languages]
        found = [(at, cell) for at, cell in enumerate(cells) if cell is not None]
        axes.barh(
            [at + (number - (len(series) - 1) / 2) * thickness for at, _ in found],
            [cell.value for _, cell in found],
            height=thickness * 0.92, color=PALETTE[number],
            label="\n".join(textwrap.wrap(label, 60)),
        )  # fmt: skip
    _language_axis(axes, languages, results.sources(task, name))
    axes.set_xlabel("tokens per UTF-8 byte (lower is better)", color=INK)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower left", ncols=1, frameon=False, fontsize=9)
    path = directory / f"tokens_{slug(task)}.png"
    return _save(figure, axes, path, token_finding(results, task))


def _language_axis(axes: Any, languages: Sequence[str], sources: Sequence[str]) -> None:
    names = [f"{lang} (source)" if lang in sources[:1] else lang for lang in languages]
    axes.set_yticks(range(len(languages)), names)
    axes.set_ylim(-0.6, len(languages) - 0.4)
    axes.invert_yaxis()


def training_curves(results: Results, runs: Sequence[Run]) -> dict[str, list[Point]]:
    """Name -> points: one curve per trained step and variant, first seed only."""
    shared = {row.model for row in results.rows if not row.variant} | shared_steps(runs)
    curves: dict[str, list[Point]] = {}
    for run in runs:
        for name, points in run.curves.items():
            variant = "" if name in shared else str(run.info.get("variant") or "")
            if len(points) > 1:
                curves.setdefault(f"{name} ({variant})" if variant else name, points)
    return curves


def _curves(curves: Mapping[str, Sequence[Point]], directory: Path) -> Plot | None:
    """Training loss, one line per curve.

    Bits per byte against bytes of text where all runs counted them: what compares across
    vocabularies. Else nats per token against steps.
    """
    if not curves:
        return None
    shown = dict(list(curves.items())[:MAX_CURVES])
    by_text = counts_text(shown)
    figure, axes = empty_figure(8.0, 4.2)
    for number, (name, points) in enumerate(shown.items()):
        axes.plot(
            [(point.read or 0) / 1e6 if by_text else point.step for point in points],
            [point.bits if by_text else point.loss for point in points],
            color=PALETTE[number % len(PALETTE)],
            linestyle=("-", "--")[number // len(PALETTE) % 2],
            linewidth=1.5,
            label=name,
        )
    axes.set_xlabel("text read (MB)" if by_text else "optimiser steps", color=INK)
    unit = "bits per byte" if by_text else "nats per token"
    axes.set_ylabel(f"training loss ({unit})", color=INK)
    axes.grid(color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return _save(figure, axes, directory / "training_curves.png", curve_finding(shown))


def slug(text: str) -> str:
    """A text as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in text)
