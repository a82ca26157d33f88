"""Layer swapping: the outer layers of a language expert on a task expert of the same base.

Bandarkar et al. 2025 (arXiv 2410.01335; ICLR): of 32 layers, the 5 lowest and the 2 highest come
from the model that was tuned on the language, the rest from the one that was tuned on the task.
The paper does not say whose tables are taken; here the language's, by default, since a vocabulary
and its rows must stay together. Files are streamed, so memory does not grow with the models.
"""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import Tensor

from franken.errors import CompatibilityError, ConfigError
from franken.files import new_directory
from franken.parts.anatomy import text_config
from franken.parts.body_files import copy_other_files
from franken.parts.checkpoint import SINGLE_FILE, Checkpoint
from franken.parts.safetensors_file import Entry, computed_entry, copied_entry, write_file
from franken.parts.tokenizer_files import TOKENIZER_FILES

BOTTOM, TOP, DEPTH = 5, 2, 32
"""The paper's layers, of so many."""
_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


class TablesOf(StrEnum):
    """Whose tokenizer, embeddings and head the result has."""

    language = "language"
    task = "task"


@dataclass(frozen=True)
class Swap:
    """Which layers come from where."""

    language: list[int]
    both: list[int]
    """Mean of the two, in float32."""
    task: list[int]


def plan(
    count: int, bottom: int | None = None, top: int | None = None, transition: int = 0
) -> Swap:
    """Layers by giver.

    Args:
        count: of the models.
        bottom: lowest layers from the language expert; default: 5 of 32, in proportion.
        top: highest ones; default: 2 of 32, in proportion.
        transition: layers at each seam, on the task's side, that are the mean of both.

    Raises:
        ConfigError: where there are not so many layers.
    """
    low = round(BOTTOM / DEPTH * count) if bottom is None else bottom
    high = round(TOP / DEPTH * count) if top is None else top
    seams = transition * ((low > 0) + (high > 0)) if low + high < count else 0
    if min(low, high, transition) < 0 or low + high + seams > count:
        raise ConfigError(
            f"layer swap: bottom {low}, top {high} and {seams} layers of transition do not fit "
            f"into {count} layers"
        )
    inner = list(range(low, count - high))
    below = inner[: transition if low and seams else 0]
    above = inner[len(inner) - transition :] if transition and high and seams else []
    both = sorted({*below, *above})
    return Swap(
        [*range(low), *range(count - high, count)], both, [n for n in inner if n not in both]
    )


def swap_layers(
    task: Path, language: Path, target: Path, *,
    bottom: int | None = None, top: int | None = None, transition: int = 0,
    tables: TablesOf = TablesOf.language,
) -> Swap:  # fmt: skip
    """Write the checkpoint.

    Args:
        task: directory of the task expert, which gives everything that no one else does.
        language: directory of the language expert, from the same base.
        target: where to; must not exist, or be empty.
        bottom: see :func:`plan`.
        top: see :func:`plan`.
        transition: see :func:`plan`.
        tables: whose vocabulary and rows.

    Raises:
        CompatibilityError: where the bodies differ in shape.
    """
    experts = Checkpoint(Path(task)), Checkpoint(Path(language))
    _check(*experts)
    swap = plan(int(text_config(experts[0].config()).num_hidden_layers), bottom, top, transition)
    giver = experts[1 if tables is TablesOf.language else 0]
    table_names = [n for n in giver.names() if giver.anatomy().is_table_tensor(n)]
    entries = [copied_entry(giver.shard_of(name), giver.range(name)) for name in table_names]
    entries += [_entry(name, *experts, swap) for name in _body(experts[0])]
    with new_directory(Path(target)) as scratch:
        write_file(scratch / SINGLE_FILE, entries, {"format": "pt"})
        copy_other_files(giver.directory, scratch)
        for name in ("config.json", "generation_config.json", *TOKENIZER_FILES):
            if (giver.directory / name).is_file():
                shutil.copyfile(giver.directory / name, scratch / name)
    return swap


def _body(checkpoint: Checkpoint) -> list[str]:
    return [n for n in checkpoint.names() if not checkpoint.anatomy().is_table_tensor(n)]


def _check(task: Checkpoint, language: Checkpoint) -> None:
    ours, theirs = (
        {name: expert.shape(name) for name in _body(expert)} for expert in (task, language)
    )
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if odd:
        raise CompatibilityError(
            f"{task.directory} and {language.directory} are no experts of one base: {odd[0]!r} has "
            f"shape {ours.get(odd[0])} in the one and {theirs.get(odd[0])} in the other "
            f"({len(odd)} such)"
        )


def _entry(name: str, task: Checkpoint, language: Checkpoint, swap: Swap) -> Entry:
    found = _LAYER.search(f".{name}")
    layer = int(found[1]) if found else None
    if layer in swap.both:
        return computed_entry(name, task.shape(name), task.dtype(name), _mean(name, task, language))
    giver = language if layer in swap.language else task
    return copied_entry(giver.shard_of(name), giver.range(name))


def _mean(name: str, task: Checkpoint, language: Checkpoint) -> Callable[[int, int], Tensor]:
    def rows(start: int, stop: int) -> Tensor:
        parts = [each.rows(name, start, stop).float() for each in (task, language)]
        return torch.stack(parts).mean(0)

    return rows
