"""``python -m franken.draft build TARGET DONOR -o DIR``, ``... measure TARGET DRAFT``."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from franken.errors import ConfigError, FrankenError

PROMPTS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    try:
        found = build(options) if options.command == "build" else measure(options)
    except FrankenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found, ensure_ascii=False, indent=2))
    return 0


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
    one.add_argument("--steps", type=int, default=100, help="of --tune (default 100)")
    one.add_argument("--lr", type=float, default=1e-4, help="of --tune (default 1e-4)")
    two = commands.add_parser("measure", help="acceptance length and speed-up, on this machine")
    two.add_argument("target", type=Path)
    two.add_argument("draft", type=Path)
    two.add_argument("--text", type=Path, metavar="FILE", help="lines whose beginnings are prompts")
    two.add_argument("--prompts", type=int, default=PROMPTS)
    two.add_argument("--gamma", type=int, default=4, help="proposals per round (default 4)")
    two.add_argument("--new-tokens", type=int, default=64)
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
    from franken.files import read_json
    from franken.init_method.weighted_pooling import PoolingScheme, WeightedPoolingInit
    from franken.parts.body import quiet_transformers
    from franken.parts.disk_surgery import new_directory
    from franken.parts.model import whole_model
    from franken.parts.tokenizer_files import save_exported_tokenizer

    drop = layers_of(options.drop_layers)
    if options.init == "last_first":
        method: Any = WeightedPoolingInit(scheme=PoolingScheme.last_first, decay=options.head_decay)
    else:
        method = find("init_method", options.init)()
    overrides = read_json(options.override) if options.override else None
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
    if options.tune:
        report["tuning"] = _tune(options, draft, target, tokenizer)
    with new_directory(options.output) as scratch, quiet_transformers():
        draft.save_pretrained(str(scratch))
        save_exported_tokenizer(tokenizer, scratch)
    return report


def _tune(options: argparse.Namespace, draft: Any, target: Any, tokenizer: Any) -> dict[str, Any]:
    from franken.draft.tuning import tune_on_target
    from franken.vocab.commands.common import read_text

    lines = read_text(options.tune, 20_000)
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
    figures = {name: getattr(found, name) for name in ("length", "rate", "speed_up")}
    return {"gamma": options.gamma, **figures, **asdict(found)}


if __name__ == "__main__":
    sys.exit(main())
