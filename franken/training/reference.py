"""The reference model's log-likelihoods: taken once per pair before training, kept beside it.

They come from the very module that will train, before its first step, so that policy and reference
agree to the last bit there. What is kept is used again only by the same run on the same pairs.
"""

import logging
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from franken.files import hash_json, read_json, sha256_file, write_atomically, write_json
from franken.training.batches import to_device
from franken.training.preference import PreferenceModule

log = logging.getLogger(__name__)

PART = 4096
"""Pairs per file: what a killed run loses at most."""


def reference_log_likelihoods(
    module: PreferenceModule,
    datamodule: Any,
    directory: Path,
    identity: str,
    device: torch.device | str = "cpu",
) -> Tensor:
    """``(P, 2)`` float32 log-likelihoods of the pairs of a data module, read or computed.

    Args:
        module: untrained; its model is moved to ``device`` and back.
        datamodule: gives ``pair_count``, ``fingerprint()`` and ``batch_of(numbers)``.
        directory: where the values lie, a file per ``PART`` pairs with a sidecar that seals it.
        identity: of the run.
        device: where to compute.
    """
    made = hash_json([identity, datamodule.fingerprint()])
    parts: list[Tensor] = []
    model: Any = module.model
    home = model.device
    starts = range(0, datamodule.pair_count, PART)
    try:
        for start in starts:
            path = directory / f"pairs-{start:08d}.safetensors"
            numbers = range(start, min(start + PART, datamodule.pair_count))
            values = _sound(path, made, len(numbers))
            if values is None:
                model.to(device)
                values = _compute(module, datamodule, numbers, torch.device(device))
                write_atomically(path, save({"log_likelihoods": values}))
                write_json(path.with_suffix(".json"), _seal(path, made))
            parts.append(values)
    finally:
        model.to(home)
    return torch.cat(parts) if parts else torch.zeros(0, 2)


def _compute(
    module: PreferenceModule, datamodule: Any, numbers: range, device: torch.device
) -> Tensor:
    config = module.config
    rows = max(1, config.batch_size // config.accumulate)
    batches = [numbers[at : at + rows] for at in range(0, len(numbers), rows)]
    console = Console(stderr=True)
    shown = track(
        batches, "reference model", console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    found: list[Tensor] = []
    with torch.no_grad():
        for chosen in shown:
            batch = to_device(datamodule.batch_of(chosen), device)
            with torch.autocast(device.type, module.mixed, enabled=module.mixed is not None):
                values, _ = module.log_likelihoods(batch)
            found.append(values.float().cpu())
    return torch.cat(found)


def _seal(path: Path, made: str) -> dict[str, str]:
    return {"made": made, "sha256": sha256_file(path)}


def _sound(path: Path, made: str, count: int) -> Tensor | None:
    """The values of a file that is what its sidecar says; ``None`` when they must be computed."""
    sidecar = path.with_suffix(".json")
    if not (path.is_file() and sidecar.is_file()):
        return None
    try:
        if read_json(sidecar) != _seal(path, made):
            raise ValueError("it was made for another run, or changed since")
        values = load(path.read_bytes())["log_likelihoods"]
        if values.shape != (count, 2):
            raise ValueError(f"it holds {tuple(values.shape)} values, not {(count, 2)}")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        log.warning("%s is not usable (%s); computing it again", path, error)
        return None
    return values
