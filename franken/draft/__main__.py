"""``python -m franken.draft build TARGET DONOR -o DIR``, ``... measure TARGET DRAFT``."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from franken.commands import above_zero, answered, whole
from franken.errors import ConfigError, DataError

PROMPTS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        found = build(options) if options.command == "build" else measure(options)
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0

    return answered(command)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.draft", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build", help="give a small donor the target's vocabulary")
    one.add_argument("target", type=Path, help="directory of the model to draft for")
    one.add_argument("donor", type=Path, help="directory of the small model")
    one.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    one.add_argument(
        "--init", default="last_first", metavar="NAME",
        help="an initialiser without side resources, or last_first (default): the last donor piece "
        "is read, a mean that decays from the first is written",
    )  # fmt: skip
    one.add_argument("--head-decay", type=float, default=0.5, help="of last_first (default 0.5)")
    one.add_argument("--drop-layers", default="", metavar="10-21,25", help="counted from 0")
    one.add_argument(
        "--override", type=Path, metavar="FILE",
        help="JSON: target token -> donor text that it stands for (marks of turns)",
    )  # fmt: skip
    one.add_argument("--tied", action="store_true", help="keep one matrix where the donor has one")
    one.add_argument("--tune", type=Path, metavar="TEXT", help="tune on the target's predictions")
    one.add_argument("--steps", type=whole(1), default=100, help="of --tune (default 100)")
    one.add_argument("--lr", type=above_zero, default=1e-4, help="of --tune (default 1e-4)")
    two = commands.add_parser("measure", help="acceptance length and speed-up, on this machine")
    two.add_argument("target", type=Path)
    two.add_argument("draft", type=Path)
    two.add_argument("--text", type=Path, metavar="FILE", help="lines whose beginnings are prompts")
    two.add_argument("--prompts", type=whole(1), default=PROMPTS)
    two.add_argument("--gamma", type=whole(1), default=4, help="proposals per round (default 4)")
    two.add_argument("--new-tokens", type=whole(1), default=64)
    return made


def layers_of(text: str) -> list[int]:
    """``10-21,25`` as numbers.

    Raises:
        ConfigError: where it is no such list.
    """
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, mark, last = part.partition("-")
        if not first.isdigit() or (mark and not last.isdigit()):
            raise ConfigError(f"--drop-layers {text!r}: write numbers and ranges, such as 10-21,25")
        found += range(int(first), int(last if mark else first) + 1)
    return found


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Write the draft; what it is, as plain data."""
    from franken.declare import find
    from franken.draft.build import make_draft
    from franken.files import check_new_directory, new_directory
    from franken.init_method.weighted_pooling import PoolingScheme, WeightedPoolingInit
    from franken.parts.body import quiet_transformers
    from franken.parts.model import whole_model
    from franken.parts.tokenizer_files import save_exported_tokenizer

    drop = layers_of(options.drop_layers)
    if options.init == "last_first":
        method: Any = WeightedPoolingInit(scheme=PoolingScheme.last_first, decay=options.head_decay)
    else:
        method = find("init_method", options.init)()
    overrides = _overrides(options.override) if options.override else None
    check_new_directory(options.output)
    tuned_on = _lines_of(options.tune) if options.tune else None
    target: Any
    target, tokenizer = whole_model(options.target)
    donor, donor_tokenizer = whole_model(options.donor)
    draft = make_draft(
        donor, donor_tokenizer, tokenizer, method,
        rows=target.get_input_embeddings().weight.shape[0], drop_layers=drop,
        overrides=overrides, untie=not options.tied,
    )  # fmt: skip
    del donor
    report: dict[str, Any] = {
        "parameters": {"target": target.num_parameters(), "draft": draft.num_parameters()},
        "layers": draft.config.num_hidden_layers,
        "rows": draft.config.vocab_size,
    }
    if tuned_on is not None:
        report["tuning"] = _tune(options, draft, target, tokenizer, tuned_on)
    with new_directory(options.output) as scratch, quiet_transformers():
        draft.save_pretrained(str(scratch))
        save_exported_tokenizer(tokenizer, scratch)
    return report


def _lines_of(text: Path) -> list[str]:
    from franken.vocab.commands.common import read_text

    return read_text(text, 20_000)


def _overrides(path: Path) -> dict[str, str]:
    from franken.files import read_json

    try:
        found = read_json(path)
    except ValueError as error:
        raise DataError(f"--override {path} is not JSON: {error}") from error
    wrong = [
        f"{token!r}: {text!r}"
        for token, text in (found.items() if isinstance(found, dict) else ())
        if not isinstance(text, str)
    ]
    if wrong or not isinstance(found, dict):
        raise DataError(
            f"--override {path}: expected an object from target token to donor text, found "
            f"{', '.join(wrong) or type(found).__name__}"
        )
    return found


def _tune(
    options: argparse.Namespace, draft: Any, target: Any, tokenizer: Any, lines: list[str]
) -> dict[str, Any]:
    from franken.draft.tuning import tune_on_target

    losses = tune_on_target(draft, target, tokenizer, lines, steps=options.steps, lr=options.lr)
    tenth = max(1, len(losses) // 10)
    mean = {"first": losses[:tenth], "last": losses[-tenth:]}
    return {
        "steps": len(losses),
        "nats_per_token": {name: sum(own) / max(1, len(own)) for name, own in mean.items()},
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Acceptance length, rate and speed-up, as plain data."""
    from franken.draft.acceptance import measure_acceptance
    from franken.parts.model import whole_model
    from franken.vocab.commands.common import pocket, read_text

    text = options.text or Path(pocket()["en"])
    lines = [line for line in read_text(text) if len(line.split()) >= 12]
    prompts = [
        " ".join(line.split()[:12]) for line in lines[:: max(1, len(lines) // options.prompts)]
    ]
    target, tokenizer = whole_model(options.target)
    draft, _ = whole_model(options.draft)
    found = measure_acceptance(
        target, draft, tokenizer, prompts[: options.prompts],
        gamma=options.gamma, new_tokens=options.new_tokens,
    )  # fmt: skip
    names = "length", "rate", "speed_up", "cpu_speed_up"
    figures = {name: getattr(found, name) for name in names}
    return {"gamma": options.gamma, **figures, **asdict(found)}


if __name__ == "__main__":
    sys.exit(main())
