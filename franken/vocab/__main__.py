"""``python -m franken.vocab compare A B ...``: tokenizers side by side on text."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.errors import ConfigError, FrankenError

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
    ("nfd", "tokens, NFD (%)"),
    ("upper", "capitals (%)"),
    ("spaces", "two spaces (%)"),
    ("no_break", "no-break spaces (%)"),
)
"""Distortion, heading: tokens in % of those of the text as it is."""
_SHARES = ("whole_words", "used", "unknown", "lost")
_DOCUMENT = """<!doctype html><html lang="en"><meta charset="utf-8">
<title>Tokenizers compared</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}}
table{{border-collapse:collapse;margin:1rem 0;display:block;overflow-x:auto}}
th,td{{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right}}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){{text-align:left}}</style>
<h1>Tokenizers compared</h1><p>{lead}</p>{tables}</html>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        found = _compare(options)
    except FrankenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(_markdown(*table) for table in tables(found)))
    if options.html is not None:
        from franken.files import write_atomically

        write_atomically(options.html, page(found).encode())
        print(f"page  {options.html}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m franken.vocab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="tokenizers side by side on text")
    compare.add_argument(
        "tokenizers", nargs="+", metavar="TOKENIZER",
        help="directory or hub id of a tokenizer or model; NAME=PLACE gives it a name",
    )  # fmt: skip
    compare.add_argument(
        "--text", action="append", metavar="LANG=FILE", default=[],
        help="text of a language, one per language: plain lines, or JSON lines with a field text, "
        "gzipped or not; without any, English, Swahili and Tatar of the package",
    )  # fmt: skip
    compare.add_argument("--lines", type=int, default=DEFAULT_LINES, help="per language at most")
    compare.add_argument("--html", type=Path, metavar="FILE", help="write a page as well")
    compare.add_argument("--json", action="store_true", help="for machines")
    return parser


def _compare(options: argparse.Namespace) -> dict[str, Any]:
    from franken.tokenizer.quality import compare

    places = _named(options.text, "--text") if options.text else _pocket()
    texts = {lang: read_text(Path(place), options.lines) for lang, place in places.items()}
    named = [
        place if "=" in place else f"{Path(place).name or place}={place}"
        for place in options.tokenizers
    ]
    return compare(
        {name: _tokenizer(place) for name, place in _named(named, "TOKENIZER").items()}, texts
    )


def _named(pairs: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=PLACE`` pairs.

    Raises:
        ConfigError: for one that is none, or a name that comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, mark, place = pair.partition("=")
        if not (name and mark and place):
            raise ConfigError(f"{option} {pair!r}: write NAME=PLACE")
        if name in found:
            raise ConfigError(f"{option}: {name!r} is named twice; write OTHER={place}")
        found[name] = place
    return found


def _pocket() -> dict[str, str]:
    from franken.data.origin import PACKAGE

    folder = PACKAGE / "data" / "pocket" / "mono"
    return {lang: str(next(folder.glob(f"{lang}.valid.jsonl*"))) for lang in ("en", "sw", "tt")}


def read_text(path: Path, limit: int) -> list[str]:
    """Lines of a file of text; JSON lines give their field ``text``, cut into lines.

    Raises:
        FrankenError: for a file that is not there, or holds no text.
    """
    from franken.data.plain_text import read_texts
    from franken.errors import DataError

    found: list[str] = []
    for text in read_texts(str(path)):
        found += [own for own in text.splitlines() if own.strip()]
        if len(found) >= limit:
            break
    if not found:
        raise DataError(f"{path} holds no text")
    return found[:limit]


def _tokenizer(place: str) -> Any:
    from transformers import AutoTokenizer

    from franken.errors import DataError

    try:
        found = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(f"no tokenizer could be read from {place!r}: {error}") from error
    if not found.is_fast:
        raise DataError(f"the tokenizer of {place!r} has no fast form (tokenizer.json)")
    return found


def tables(found: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, heading and rows: per language and tokenizer; then the overlap of languages."""
    heading = ["language", "tokenizer", *(title for _, title, _ in COLUMNS)]
    heading += [title for _, title in DISTORTED]
    rows = []
    for lang in next(iter(found.values()))["languages"]:
        for name, own in found.items():
            figures = own["languages"][lang]
            row = [lang, f"{name} ({own['size']:,})"]
            for key, _, digits in COLUMNS:
                row.append(f"{figures[key] * (100 if key in _SHARES else 1):,.{digits}f}")
            row += [f"{100 * figures['distorted'][key]:.0f}" for key, _ in DISTORTED]
            rows.append(row)
    pairs = list(next(iter(found.values()))["divergence"])
    overlap = [
        [name, f"{own['size']:,}", *(f"{own['divergence'][pair]:.3f}" for pair in pairs)]
        for name, own in found.items()
    ]
    shown = [("Per language", heading, rows)]
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
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
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


if __name__ == "__main__":
    sys.exit(main())
