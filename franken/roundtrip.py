"""``python -m franken.roundtrip A B``: whether a checkpoint came back from elsewhere as it went.

Names, shapes and number formats of tensors, tying, the tokenizer, the norm of every tensor, and
the loss on a few lines: the faults of a conversion to another trainer's layout and back.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from franken.commands import above_zero, answered
from franken.errors import DataError

LINES = (
    "The river runs down from the hills to the sea.",
    "Two and two are four, and three more are seven.",
    "She asked him where the nearest market was.",
)


@dataclass
class Differences:
    """What two checkpoints do not share; empty where one is the other."""

    faults: list[str] = field(default_factory=list)
    """What no training explains."""
    moved: dict[str, float] = field(default_factory=dict)
    """Tensor -> ``| |B| - |A| | / |A|`` of its Frobenius norm, where that is not 0."""
    losses: tuple[float, float] | None = None
    """Mean loss per token on the lines."""


def compare(one: Path, other: Path, lines: Sequence[str] | None = LINES) -> Differences:
    """Compare two checkpoints in transformers layout.

    Args:
        one: before.
        other: after.
        lines: text for the losses; ``None``: the models are not loaded, and norms are read block
            by block.

    Raises:
        ArtifactError: where one is no checkpoint, or damaged.
    """
    from franken.parts.checkpoint import Checkpoint
    from franken.parts.tokenizer_files import load_checkpoint_tokenizer, tokenizer_identity
    from franken.parts.weights import StoredWeights

    a, b = StoredWeights.of_checkpoint(one), StoredWeights.of_checkpoint(other)
    found = Differences()
    if a.anatomy.family != b.anatomy.family:
        found.faults.append(f"model type {a.anatomy.family} against {b.anatomy.family}")
    tying = ["tied" if Checkpoint(place).tied() else "untied tables" for place in (one, other)]
    if tying[0] != tying[1]:
        found.faults.append(f"{tying[0]} against {tying[1]}")
    tokenizers = [load_checkpoint_tokenizer(place) for place in (one, other)]
    if tokenizer_identity(tokenizers[0]) != tokenizer_identity(tokenizers[1]):
        found.faults.append("the tokenizers differ: other pieces, ids, merges or special tokens")
    ours, theirs = set(a.names()), set(b.names())
    for place, names in (("first", ours - theirs), ("second", theirs - ours)):
        if names:
            found.faults.append(f"only the {place} has {min(names)!r} ({len(names)} such)")
    for name in sorted(ours & theirs):
        if a.shape(name) != b.shape(name):
            found.faults.append(f"{name}: shape {a.shape(name)} against {b.shape(name)}")
        elif a.dtype(name) != b.dtype(name):
            found.faults.append(f"{name}: {a.dtype(name)} against {b.dtype(name)}")
        _compare_norms(found, name, norm_of(a, name), norm_of(b, name))
    if lines is not None and not found.faults:
        found.losses = loss_of(one, lines), loss_of(other, lines)
        if not all(map(math.isfinite, found.losses)):
            found.faults.append(f"losses {found.losses} are not finite")
    return found


def _compare_norms(found: Differences, name: str, before: float, after: float) -> None:
    if not (math.isfinite(before) and math.isfinite(after)):
        found.faults.append(f"{name}: norm {before:.4g} against {after:.4g}")
    elif before != after:
        found.moved[name] = abs(after - before) / before if before else math.inf


def norm_of(weights: "object", name: str) -> float:
    """Frobenius norm of a tensor in float64, read block by block."""
    from franken.parts.weights import row_blocks

    blocks = row_blocks(weights, name)  # type: ignore[arg-type]
    return math.sqrt(sum(float(rows.double().square().sum()) for _, rows in blocks))


def loss_of(directory: Path, lines: Sequence[str]) -> float:
    """Mean loss per predicted token, by plain transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    total = tokens = 0.0
    for line in lines:
        ids = tokenizer(line, return_tensors="pt").input_ids
        if ids.shape[1] < 2:
            continue
        with torch.no_grad():
            loss = model(input_ids=ids, labels=ids).loss
        total += float(loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    if not tokens:
        raise DataError("the lines give no token to predict; give longer ones")
    return total / tokens


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.roundtrip", description=__doc__)
    made.add_argument("first", type=Path, help="checkpoint before, e.g. the export")
    made.add_argument("second", type=Path, help="checkpoint after")
    made.add_argument("--text", type=Path, help="lines for the losses (default: three)")
    made.add_argument("--no-loss", action="store_true", help="do not load the models")
    made.add_argument(
        "--trained", action="store_true", help="norms and losses may change: report them alone"
    )
    made.add_argument(
        "--tolerance", type=above_zero, default=1e-3,
        help="of norms and losses, relative (default 0.001: rounding to another format and back)",
    )  # fmt: skip
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command: 0 as it went, 1 differences, 2 a wrong request."""
    chosen = parser().parse_args(arguments)
    return answered(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    from franken.vocab.commands.common import read_text

    lines: Sequence[str] = LINES if chosen.text is None else read_text(chosen.text, 100)
    found = compare(chosen.first, chosen.second, None if chosen.no_loss else lines)
    return _report(found, tolerance=None if chosen.trained else chosen.tolerance)


def _report(found: Differences, *, tolerance: float | None) -> int:
    for fault in found.faults:
        print(f"differs: {fault}")
    worst = sorted(found.moved, key=lambda name: -found.moved[name])
    print(f"norms: {len(found.moved)} tensors moved" + (", most of all:" if worst else ""))
    for name in worst[:5]:
        print(f"  {name}: {found.moved[name]:.2e} of its norm")
    bad = bool(found.faults)
    if tolerance is not None:
        bad |= any(share > tolerance for share in found.moved.values())
    if found.losses is not None:
        before, after = found.losses
        print(f"loss per token: {before:.4f}, then {after:.4f}")
        bad |= tolerance is not None and abs(after - before) > tolerance * max(1.0, before)
    well = "its relative" if tolerance is None else "as it went"
    print("not the same model" if bad else well)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
