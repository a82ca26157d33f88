"""Keys of steps that answer aligned prompts under an inference option."""

from dataclasses import asdict
from typing import Any

from franken.config.inference import Numbers
from franken.config.root import Config
from franken.config.steps import SelectPairsStep, TransplantStep
from franken.steps.keys.common import options, texts
from franken.steps.keys.files import hash_or_missing

_TILING = ("share", "max_rows", "draft_rows", "batch_tokens")


def transplant(step: TransplantStep, config: Config) -> dict[str, Any]:
    """The grid, the prompts and what stands for the donor."""
    return {
        "inference": _inference(step), "prompts": options(step.prompts, "name"),
        "portion": str(step.portion), "data": texts(step.data), "donor": step.donor,
        "site": step.site,
    }  # fmt: skip


def _inference(step: TransplantStep) -> dict[str, Any]:
    """Options that can change a row; the engine counts, as margins and marks are its own.

    In half precision products of other shapes round differently, so there everything counts.
    """
    tiling = _TILING if step.inference.dtype is Numbers.float32 else ()
    content = options(step.inference, "select", *tiling)
    path = content.pop("pairs_file", None)
    if step.pairs is not None:
        for unused in ("pairs", "samples", "temperature"):
            content.pop(unused, None)
    elif path and content.get("pairs") == "file":
        content["pairs_file"] = hash_or_missing(path)
    return content


def select_pairs(step: SelectPairsStep, config: Config) -> dict[str, Any]:
    """The search."""
    return {"select": asdict(step.select)}
