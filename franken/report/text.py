"""Tables as text: on the console with bold and wrapping by column groups, as Markdown, as CSV."""

import csv
import io
import os
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from franken.report.metrics import is_accuracy
from franken.report.records import FIELDS, Record
from franken.report.results import Results
from franken.report.tables import Group, Table, View

GAP = 2
FILE_WIDTH = 170
"""Letters per line where the output is no terminal."""
MAX_LABEL = 36
"""Longest key text on the console; longer ones are shortened in the middle."""


def print_table(table: Table, console: Console) -> None:
    """Print a table; where it is too wide, groups of columns go into further panels below."""
    console.print()
    console.print(Text(table.title, style="bold"), soft_wrap=True)
    labels = [[_shortened(text) for text in row] for row in table.labels]
    key_widths = _widths([list(table.keys), *labels])
    room = max(_width(console) - sum(width + GAP for width in key_widths), 1)
    for panel in _panels(table, room):
        console.print(_panel(table, labels, key_widths, panel), soft_wrap=True, highlight=False)
    for note in table.notes:
        console.print(Text(f"  {note}", style="dim"), soft_wrap=True)


def _width(console: Console) -> int:
    """Room for a table; a file or pipe of unstated width takes wide lines."""
    stated = console.is_terminal or "COLUMNS" in os.environ or console.width != 80
    return console.width if stated else FILE_WIDTH


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(text) for text in column) for column in zip(*rows, strict=True)]


def _shortened(text: str) -> str:
    if len(text) <= MAX_LABEL:
        return text
    half = (MAX_LABEL - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def _columns(table: Table) -> list[tuple[Group, list[int]]]:
    """Groups with the positions of their columns."""
    positions = iter(range(sum(len(group.columns) for group in table.groups)))
    return [(group, [next(positions) for _ in group.columns]) for group in table.groups]


def _column_widths(table: Table, group: Group, positions: Sequence[int]) -> list[int]:
    widths = [
        max([cell_len(name), *(cell_len(views[at].text) for views in table.views)])
        for name, at in zip(group.columns, positions, strict=True)
    ]
    lacking = max(map(cell_len, _heading_lines(group.title)), default=0)
    lacking -= sum(widths) + GAP * (len(widths) - 1)
    if lacking > 0:
        widths[-1] += lacking
    return widths


def _heading_lines(title: str) -> list[str]:
    """``task: metric`` on two lines."""
    head, _, tail = title.partition(": ")
    return [head, tail]


Panel = list[tuple[Group, list[int], list[int]]]


def _panels(table: Table, room: int) -> list[Panel]:
    """Fill panels with groups as long as they fit; a panel holds at least one group."""
    panels: list[Panel] = [[]]
    used = 0
    for group, positions in _columns(table):
        widths = _column_widths(table, group, positions)
        width = sum(widths) + GAP * len(widths)
        if panels[-1] and used + width > room:
            panels.append([])
            used = 0
        panels[-1].append((group, positions, widths))
        used += width
    return panels


def _panel(
    table: Table, labels: Sequence[Sequence[str]], key_widths: Sequence[int], panel: Panel
) -> Text:
    gap = " " * GAP
    text = Text()
    blank = gap.join(" " * width for width in key_widths)
    for line in (0, 1):
        headings = [_heading_lines(group.title)[line] for group, _, _ in panel]
        if any(headings):
            text.append(blank)
            for heading, (_, _, widths) in zip(headings, panel, strict=True):
                span = sum(widths) + GAP * (len(widths) - 1)
                text.append(gap + _centred(heading, span), style="cyan")
            text.append("\n")
    text.append(gap.join(_left(k, w) for k, w in zip(table.keys, key_widths, strict=True)))
    for group, _, widths in panel:
        for name, width in zip(group.columns, widths, strict=True):
            text.append(gap + _right(name, width))
    spans = sum(key_widths) + GAP * (len(key_widths) - 1)
    spans += sum(sum(widths) + GAP * len(widths) for _, _, widths in panel)
    text.append("\n" + "─" * spans)
    for row, views in zip(labels, table.views, strict=True):
        text.append("\n" + gap.join(_left(t, w) for t, w in zip(row, key_widths, strict=True)))
        for _, positions, widths in panel:
            for at, width in zip(positions, widths, strict=True):
                style = "bold" if views[at].best else ""
                text.append(gap + " " * (width - cell_len(views[at].text)))
                text.append(views[at].text, style=style)
    return text


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _centred(text: str, width: int) -> str:
    free = max(0, width - cell_len(text))
    return " " * (free // 2) + text + " " * (free - free // 2)


def markdown(table: Table) -> str:
    """The table as GitHub Markdown with its title and notes."""
    names = list(table.keys)
    for group in table.groups:
        prefix = f"{group.title}, " if group.title else ""
        names += [f"{prefix}{column}" for column in group.columns]
    lines = [
        f"## {_escaped(table.title)}",
        "",
        _markdown_row(names),
        _markdown_row([*("---" for _ in table.keys), *("---:" for _ in names[len(table.keys) :])]),
    ]
    for labels, views in zip(table.labels, table.views, strict=True):
        lines.append(_markdown_row([*labels, *map(_markdown_view, views)]))
    lines += ["", _escaped(" ".join([*table.notes, *table.legend])), ""]
    return "\n".join(lines)


def _markdown_view(view: View) -> str:
    return f"**{view.text}**" if view.best else view.text


def _markdown_row(texts: Iterable[str]) -> str:
    return "| " + " | ".join(_escaped(text) for text in texts) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def long_csv(records: Iterable[Record]) -> str:
    """Every record (without repeats) as one line, numbers in full."""
    names = list(FIELDS)
    chosen = list(records)
    extras = sorted({name for record in chosen for name in record.extra})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*names, *extras])
    for record in chosen:
        own = [getattr(record, name) for name in names]
        writer.writerow(
            ["" if v is None else v for v in [*own, *(record.extra.get(e) for e in extras)]]
        )
    return buffer.getvalue()


def wide_csv(results: Results, *, baseline: str = "instruct") -> str:
    """One line per system: means over seeds, errors over items, spreads over seeds, in full."""
    columns = [
        (task, metric, lang)
        for task in results.tasks
        for metric in results.metrics(task)
        for lang in [*results.languages(task, metric), "targets"]
    ]
    header = ["experiment", "recipe", "model", "variant", "seeds"]
    for column in columns:
        header += ["/".join(column), "/".join(column) + "/stderr", "/".join(column) + "/seeds"]
    gains = [
        (task, metric)
        for task in results.tasks
        for metric in results.metrics(task)
        if is_accuracy(metric)
    ]
    header += [f"{task}/{metric}/gain" for task, metric in gains]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in results.rows:
        seeds = len({record.seed for record in results.records_of(row)})
        line: list[object] = [row.experiment, row.recipe, row.model, row.variant, seeds]
        for task, metric, lang in columns:
            cell = (
                results.mean(row, task, metric)
                if lang == "targets"
                else results.cell(row, task, metric, lang)
            )
            line += [""] * 3 if cell is None else [cell.value, cell.stderr, cell.spread]
        found = [results.gain(row, task, metric, baseline) for task, metric in gains]
        line += [None if gain is None else gain.value for gain in found]
        writer.writerow(["" if value is None else value for value in line])
    return buffer.getvalue()
