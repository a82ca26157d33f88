"""``extend BASE TEXT ... -o DIR``: a tokenizer with new pieces appended; no model is needed."""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from franken.commands import whole
from franken.vocab.commands.common import check_files, read_text, save, tokenizer_at

GUARDED_LINES = 40_000


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "extend", help="append new pieces that are learnt on top of the base's segmentation"
    )
    parser.add_argument("base", metavar="BASE", help="directory or hub id of a tokenizer or model")
    parser.add_argument(
        "texts", nargs="+", metavar="TEXT",
        help="files of the language: plain lines, or JSON lines with a field text; LANG=FILE "
        "counts languages apart",
    )  # fmt: skip
    parser.add_argument(
        "--added", type=whole(1), default=8000, help="how many pieces (default 8000)"
    )
    parser.add_argument(
        "--source", type=Path, action="append", default=[], metavar="FILE",
        help="text that shall be cut as before: merges that it would feel are refused",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=["keep", "marks"], default="keep",
        help="marks: combining marks are parts of words (Tamil, Hindi under Llama 3, Qwen)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Build, save, and print the report in short."""
    from franken.files import check_new_directory
    from franken.tokenizer.options import Splitting
    from franken.tokenizer.types import VocabTexts
    from franken.vocab.base import build_vocabulary
    from franken.vocab.extension import ExtensionVocab

    files: dict[str, list[Path]] = {}
    for text in options.texts:
        name, mark, place = text.partition("=")
        files.setdefault(name if mark else "text", []).append(Path(place if mark else text))
    check_files([path for paths in files.values() for path in paths] + options.source)
    check_new_directory(options.output)
    base = tokenizer_at(options.base)
    targets = {
        name: [line for p in paths for line in read_text(p)] for name, paths in files.items()
    }
    source = [line for path in options.source for line in read_text(path, GUARDED_LINES)]
    texts = VocabTexts(
        lambda: source, {name: partial(iter, lines) for name, lines in targets.items()}
    )
    config = ExtensionVocab(added=options.added, split=Splitting(options.split))
    result = build_vocabulary(base, config, texts, options.seed)
    save(result.tokenizer, result.report, options.output)
    print(json.dumps(_short(result.report), ensure_ascii=False, indent=2))


def _short(report: dict[str, Any]) -> dict[str, Any]:
    """What one asks first: how many came, can text reach them, what is saved."""
    return {
        "size": report["size"],
        "parts": report["parts"],
        "unreachable": {
            "new": report["unreachable"]["new"],
            "all": report["unreachable"]["count"],
        },
        "source_lines_identical": report["source_lines_identical"],
        "tokens_per_byte": {
            name: {side: round(own[side]["tokens_per_byte"], 4) for side in ("base", "new")}
            for name, own in report["languages"].items()
        },
    }
