"""Commands that make a vocabulary of a base and a text: ``extend`` appends, ``adapt`` replaces."""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

from franken.commands import whole
from franken.vocab.commands.common import check_files, read_text, save, tokenizer_at

GUARDED_LINES = 40_000


def add_to(commands: Any) -> None:
    """Add both commands to the parser's."""
    extend = _with_texts(commands.add_parser(
        "extend", help="append new pieces that are learnt on top of the base's segmentation"
    ))  # fmt: skip
    extend.add_argument(
        "--added", type=whole(1), default=8000, help="how many pieces (default 8000)"
    )
    extend.add_argument(
        "--source", type=Path, action="append", default=[], metavar="FILE",
        help="text that shall be cut as before: merges that it would feel are refused",
    )  # fmt: skip
    extend.add_argument(
        "--split", choices=["keep", "marks"], default="keep",
        help="marks: combining marks are parts of words (Tamil, Hindi under Llama 3, Qwen)",
    )  # fmt: skip
    extend.set_defaults(run=_extend)
    adapt = _with_texts(commands.add_parser(
        "adapt", help="n-grams of tokens that a domain repeats, in the ids of its rarest tokens"
    ))  # fmt: skip
    adapt.add_argument(
        "--added", type=whole(1), default=2000, help="how many tokens are replaced (default 2000)"
    )
    adapt.add_argument(
        "--longest", type=whole(2), default=3, help="tokens of the longest n-gram (default 3)"
    )
    adapt.add_argument(
        "--source", type=Path, action="append", default=[], metavar="FILE",
        help="of tokens that the domain does not use, those go first that this text misses less",
    )  # fmt: skip
    adapt.set_defaults(run=_adapt)


def _with_texts(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("base", metavar="BASE", help="directory or hub id of a tokenizer or model")
    parser.add_argument(
        "texts", nargs="+", metavar="TEXT",
        help="files of the language or domain: plain lines, or JSON lines with a field text; "
        "NAME=FILE counts them apart",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    return parser


def _extend(options: argparse.Namespace) -> None:
    from franken.tokenizer.options import Splitting
    from franken.vocab.extension import ExtensionVocab

    _build(options, ExtensionVocab(added=options.added, split=Splitting(options.split)))


def _adapt(options: argparse.Namespace) -> None:
    from franken.vocab.adaptivocab import AdaptiVocab

    _build(options, AdaptiVocab(added=options.added, longest=options.longest))


def _build(options: argparse.Namespace, config: Any) -> None:
    """Build, save, and print the report in short."""
    from franken.files import check_new_directory
    from franken.tokenizer.types import VocabTexts
    from franken.vocab.base import build_vocabulary

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
