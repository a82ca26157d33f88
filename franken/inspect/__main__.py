"""``python -m franken.inspect DIR [--base DIR]``: rows that are broken, or that take over.

Exit code: 0 nothing odd, 1 something is, 2 an error.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from franken.commands import answered

SHOWN = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        report = inspect(options)
        print(json.dumps(report, ensure_ascii=False, indent=2))
        return 1 if report["odd"] else 0

    return answered(command)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.inspect", description=__doc__)
    made.add_argument("model", type=Path, metavar="DIR", help="a checkpoint in transformers layout")
    made.add_argument(
        "--base", type=Path, metavar="DIR",
        help="the model that it was made from: tokens that it likes far better than the base likes "
        "their text are listed, and old rows that changed are counted",
    )  # fmt: skip
    made.add_argument(
        "--text", type=Path, metavar="FILE",
        help="text to run on: plain lines or JSON lines with a field text (default: ten sentences)",
    )  # fmt: skip
    made.add_argument(
        "--weights-only", action="store_true", help="do not run the model; memory stays small"
    )
    return made


def inspect(options: argparse.Namespace) -> dict[str, Any]:
    """Report on a checkpoint, as plain data; ``odd`` lists what no sound table has."""
    from franken.parts.row_report import report_rows
    from franken.parts.table_rows import rows_of_checkpoint

    rows = rows_of_checkpoint(options.model)
    names = _names(rows.tokenizer)
    report: dict[str, Any] = {"odd": [], "tables": {}}
    for part in ("input", "output"):
        if part in rows.readers:
            found = report_rows(rows.readers[part], min(rows.count, len(names)))
            report["tables"][part] = found.to_json(names)
            report["odd"] += [f"{part}: {kind}" for kind in found.odd()]
    if options.base is not None:
        report["old_rows"] = _old_rows(rows, rows_of_checkpoint(options.base))
    if not options.weights_only:
        report["behaviour"] = _behaviour(options)
        if report["behaviour"].get("takeovers"):
            report["odd"].append("behaviour: takeovers")
    return report


def _names(tokenizer: Any) -> list[str]:
    vocabulary = tokenizer.get_vocab()
    names = [""] * (max(vocabulary.values(), default=-1) + 1)
    for token, index in vocabulary.items():
        names[index] = token
    return names


def _old_rows(rows: Any, base: Any) -> dict[str, Any]:
    """How many rows of tokens that the base has are not the base's own, bit for bit."""
    import torch

    from franken.tokenizer.pieces import vocabulary_overlap

    shared = vocabulary_overlap(base.tokenizer, rows.tokenizer)
    found: dict[str, Any] = {"shared": len(shared)}
    for part in rows.readers.keys() & base.readers.keys():
        if rows.shapes[part][1:] != base.shapes[part][1:]:
            continue
        changed = 0
        new, old = (rows.readers[part](0, rows.count), base.readers[part](0, base.count))
        ids = torch.tensor(sorted(shared), dtype=torch.long)
        for block in ids.split(8192):
            theirs = old[[shared[index] for index in block.tolist()]].to(new.dtype)
            own = new[block]
            changed += int((own != theirs).reshape(len(block), -1).any(1).sum())
        found[f"changed_{part}"] = changed
    return found


def _behaviour(options: argparse.Namespace) -> dict[str, Any]:
    from franken.inspect.behaviour import PROMPTS, preferences, takeovers
    from franken.parts.model import whole_model
    from franken.vocab.commands.common import read_text

    prompts = PROMPTS if options.text is None else read_text(options.text, 100)
    model, tokenizer = whole_model(options.model)
    found = preferences(model, tokenizer, prompts)
    del model
    names = _names(tokenizer)
    best = found.mean.argsort()[::-1][:SHOWN].tolist()
    report: dict[str, Any] = {
        "prompts": len(prompts),
        "likeliest": [
            {
                "index": index, "token": names[index] if index < len(names) else None,
                "mean": float(found.mean[index]), "first": float(found.first[index]),
            }
            for index in best
        ],
    }  # fmt: skip
    if options.base is not None:
        base, base_tokenizer = whole_model(options.base)
        theirs = preferences(base, base_tokenizer, prompts)
        listed = takeovers(found, tokenizer, theirs, base_tokenizer)
        report["takeovers"] = [asdict(item) for item in listed]
    return report


if __name__ == "__main__":
    sys.exit(main())
