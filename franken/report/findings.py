"""Sentences that the numbers support: the titles of the plots."""

from collections.abc import Mapping, Sequence

from franken.report.metrics import metric_of
from franken.report.results import Cell, Results, Row
from franken.report.runs import Point


def accuracy_finding(results: Results, task: str, *, baseline: str = "instruct") -> str:
    """Which system is best on the target languages, by how much, and what the source pays."""
    name = results.primary(task)
    metric = metric_of(name)
    cells = _means(results, task, name)
    best, cell = max(cells.items(), key=lambda entry: entry[1].value)
    if all(other.at_chance for other in cells.values()):
        shown = metric.shown(cell.chance or 0.0)
        return f"{task}: no model is above chance ({shown} %) on the target languages"
    reference = results.baseline(best, baseline)
    if reference is None or reference not in cells or reference == best:
        shown = metric.shown(cell.value)
        return f"{task}: {best.label} is best on the target languages with {shown} %"
    found = results.gain(best, task, name, baseline)
    gain = cell.value - cells[reference].value
    if found is None or not found.clear or gain <= 0:
        return f"{task}: no model beats {baseline} clearly on the target languages"
    text = (
        f"{task}: {best.label} reaches {metric.shown(cell.value)} % on the target languages, "
        f"{metric.signed(gain)} points against {baseline}"
    )
    for lang in results.sources(task, name)[:1]:
        own = results.cell(best, task, name, lang)
        other = results.cell(reference, task, name, lang)
        if own is not None and other is not None:
            text += f"; {lang} {metric.signed(own.value - other.value)}"
    return text


def bits_finding(results: Results, task: str) -> str:
    """How far bits per byte fall from the first system of the recipe to the best one."""
    metric = metric_of("bits_per_byte")
    cells = _means(results, task, metric.name)
    first = next(iter(cells))
    best, cell = min(cells.items(), key=lambda entry: entry[1].value)
    before = cells[first]
    if best == first or metric.shown(cell.value) == metric.shown(before.value):
        return f"{task}: no model needs fewer bits per byte than {first.label} on target languages"
    change = f"{100 * (cell.value / before.value - 1):+.0f}".replace("-", "\u2212")
    return (
        f"{task}: {metric.shown(cell.value)} bits per byte on the target languages with "
        f"{best.label}, {metric.shown(before.value)} with {first.label} ({change} %)"
    )


def token_finding(results: Results, task: str) -> str:
    """The shortest new segmentation of the target languages against the original one."""
    series = tokenizer_series(results, task)
    means = [(label, results.mean(row, task, "tokens_per_byte")) for label, row in series]
    known = [(label, cell) for label, cell in means if cell is not None]
    if len(known) < 2:
        return f"{task}: one vocabulary for all models"
    original = known[0][1].value
    new = min(cell.value for _, cell in known[1:])
    if new >= original:
        return f"{task}: no new vocabulary needs fewer tokens on the target languages"
    return (
        f"{task}: the new vocabulary needs {new / original:.2f} times the tokens of the original "
        "on the target languages"
    )


def tokenizer_series(results: Results, task: str) -> list[tuple[str, Row]]:
    """Distinct vocabularies, told by their tokens per byte: models that share one, and one row."""
    name = "tokens_per_byte"
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in results.rows:
        cells = [results.cell(row, task, name, lang) for lang in results.languages(task, name)]
        if any(cell is not None for cell in cells):
            mark = tuple(None if cell is None else round(cell.value, 9) for cell in cells)
            found.setdefault(mark, []).append(row)
    series = []
    for rows in found.values():
        models = list(dict.fromkeys(row.model for row in rows))
        variants = list(dict.fromkeys(row.variant for row in rows if row.variant))
        label = ", ".join(models)
        if len(found) > 2 and variants:
            label += f" ({', '.join(variants)})"
        series.append((label, rows[0]))
    return series


def curve_finding(curves: Mapping[str, Sequence[Point]]) -> str:
    """The largest fall of a training loss, or of bits per byte where all curves have them."""
    if counts_text(curves):
        drops = {name: _bits(points[0]) - _bits(points[-1]) for name, points in curves.items()}
        best = min(curves, key=lambda name: _bits(curves[name][-1]))
        return (
            f"{best} ends lowest, at {_bits(curves[best][-1]):.2f} bits per byte of training text "
            f"({drops[best]:.2f} less than at its start)"
        )
    falls = {name: points[0].loss - points[-1].loss for name, points in curves.items()}
    name = max(falls, key=lambda key: falls[key])
    if falls[name] <= 0:
        return "Training loss does not fall in any step"
    points = curves[name]
    return (
        f"Training loss falls most in {name}: from {points[0].loss:.2f} to {points[-1].loss:.2f} "
        "nats per token (losses over different vocabularies do not compare)"
    )


def counts_text(curves: Mapping[str, Sequence[Point]]) -> bool:
    """Whether every point says how many bytes of text were read."""
    points = [point for own in curves.values() for point in own]
    return bool(points) and all(p.read is not None and p.bits is not None for p in points)


def _bits(point: Point) -> float:
    return point.bits if point.bits is not None else float("nan")


def _means(results: Results, task: str, name: str) -> dict[Row, Cell]:
    cells = {row: results.mean(row, task, name) for row in results.rows}
    return {row: cell for row, cell in cells.items() if cell is not None}
