"""``compare A B ...``: tokenizers side by side on text."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.commands import whole
from franken.vocab.commands.common import named, pocket, read_text, tokenizer_at

DEFAULT_LINES = 2000
COLUMNS = (
    ("tokens_per_byte", "tokens per byte", 3),
    ("tokens_per_word", "tokens per word", 2),
    ("whole_words", "words in one piece (%)", 1),
    ("characters_per_token", "characters per token", 2),
    ("average_rank", "average rank", 0),
    ("renyi", "Renyi efficiency", 3),
    ("used", "vocabulary used (%)", 1),
    ("unknown", "unknown (%)", 2),
    ("lost", "lines not restored (%)", 1),
)
"""Figure, heading, decimals."""
DISTORTED = (
    ("nfd", "accents apart (NFD)"),
    ("upper", "capitals"),
    ("spaces", "two spaces"),
    ("no_break", "no-break spaces"),
)
"""Distortion, heading."""
_SHARES = ("whole_words", "used", "unknown", "lost")
_DOCUMENT = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Tokenizers compared</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}}
table{{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}}
th,td{{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){{text-align:left}}
td{{white-space:nowrap;font-variant-numeric:tabular-nums}}th{{vertical-align:bottom;min-width:4em}}
tr.new td{{border-top:2px solid #999}}</style>
<h1>Tokenizers compared</h1><p>{lead}</p>{tables}</html>
"""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser("compare", help="tokenizers side by side on text")
    parser.add_argument(
        "tokenizers", nargs="+", metavar="TOKENIZER",
        help="directory or hub id of a tokenizer or model; NAME=PLACE gives it a name",
    )  # fmt: skip
    parser.add_argument(
        "--text", action="append", metavar="LANG=FILE", default=[],
        help="text of a language, one per language: plain lines, or JSON lines with a field text, "
        "gzipped or not; without any, English, Swahili and Tatar of the package",
    )  # fmt: skip
    parser.add_argument(
        "--lines", type=whole(1), default=DEFAULT_LINES, help="per language at most"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the comparison."""
    found = _compare(options)
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(_markdown(*table) for table in tables(found)))
    if options.html is not None:
        from franken.files import write_atomically

        write_atomically(options.html, page(found).encode())
        print(f"page  {options.html}", file=sys.stderr)


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    from franken.tokenizer.quality import compare

    places = named(options.text, "--text") if options.text else pocket()
    texts = {lang: read_text(Path(place), options.lines) for lang, place in places.items()}
    pairs = [
        place if "=" in place else f"{Path(place).name or place}={place}"
        for place in options.tokenizers
    ]
    return compare(
        {name: tokenizer_at(place) for name, place in named(pairs, "TOKENIZER").items()}, texts
    )


def tables(found: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heading and rows: per language and tokenizer, as it is and distorted; the overlap."""
    heading = ["language", "tokenizer"]
    rows, distorted = [], []
    for lang in next(iter(found.values()))["languages"]:
        for name, own in found.items():
            figures = own["languages"][lang]
            label = [lang, f"{name} ({own['size']:,})"]
            shares = [figures["distorted"][key] for key, _ in DISTORTED]
            distorted.append([*label, *(f"{100 * share:.0f}" for share in shares)])
            factors = [100 if key in _SHARES else 1 for key, _, _ in COLUMNS]
            values = zip(COLUMNS, factors, strict=True)
            rows.append(
                [*label, *(f"{figures[key] * by:,.{digits}f}" for (key, _, digits), by in values)]
            )
    pairs = list(next(iter(found.values()))["divergence"])
    overlap = [
        [name, f"{own['size']:,}", *(f"{own['divergence'][pair]:.3f}" for pair in pairs)]
        for name, own in found.items()
    ]
    shown = [
        ("Per language", [*heading, *(title for _, title, _ in COLUMNS)], rows),
        (
            "Tokens for the same text written otherwise, in % of those for it as it is",
            [*heading, *(title for _, title in DISTORTED)],
            distorted,
        ),
    ]
    if pairs:
        title = "Divergence of languages' tokens (bits, 0: the same, 1: none in common)"
        shown.append((title, ["tokenizer", "size", *pairs], overlap))
    return shown


def _markdown(title: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"{title}:", "", "| " + " | ".join(heading) + " |"]
    lines.append("|" + "---|" * 2 + "---:|" * (len(heading) - 2))
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def page(found: dict[str, Any]) -> str:
    """The same as one page."""
    from html import escape

    parts = []
    for title, heading, rows in tables(found):
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heading)
        before = [row[0] for row in rows[:1]] + [row[0] for row in rows]
        grouped = len({row[0] for row in rows}) < len(rows)
        body = "".join(
            ('<tr class="new">' if grouped and row[0] != last else "<tr>")
            + "".join(f"<td>{escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row, last in zip(rows, before, strict=False)
        )
        parts.append(f"<h2>{escape(title)}</h2><table><tr>{head}</tr>{body}</table>")
    figures = next(iter(found.values()))["languages"]
    lines = ", ".join(f"{lang} {own['lines']:,}" for lang, own in figures.items())
    lead = (
        f"Lines per language: {escape(lines)}. Words are set apart by white space. Renyi "
        "efficiency: Zouhar et al. 2023, order 2.5. Characters per token, average rank and "
        "divergence: Limisiewicz et al. 2023."
    )
    return _DOCUMENT.format(lead=lead, tables="".join(parts))
