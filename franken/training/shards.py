"""Tensors of a sharded run on disk: a safetensors file per process, by torch's distributed saving.

The headers of the files say which rows they hold, so that any number of processes, or one, can read
what any other number wrote, each only what it needs.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.tensor import DTensor

from franken.errors import ArtifactError
from franken.files import sha256_file


def write_shards(directory: Path, tensors: dict[str, Tensor]) -> dict[str, list[Any]]:
    """Write each process's rows; a collective call.

    Returns:
        File name -> size and sha256, of the files of all processes.
    """
    writer = HuggingFaceStorageWriter(str(directory), save_distributed=True)
    state_dict_saver.save(dict(tensors), storage_writer=writer)
    number = dist.get_rank() + 1
    mine = {
        path.name: [path.stat().st_size, sha256_file(path)]
        for path in directory.glob(f"shard-{number:05d}-*")
    }
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, mine)
    return {name: seal for part in found for name, seal in part.items()}


def shapes_in(directory: Path) -> dict[str, torch.Size]:
    """Whole shape of every tensor of a folder."""
    metadata = HuggingFaceStorageReader(str(directory)).read_metadata()
    sizes: dict[str, Any] = metadata.state_dict_metadata
    return {name: entry.size for name, entry in sizes.items()}


def read_shards(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Fill tensors in place, block of rows by block of rows; a collective call for sharded ones.

    Raises:
        ArtifactError: where the folder lacks one of them, or has it in another shape.
    """
    if not tensors:
        return
    known = shapes_in(directory)
    for name, tensor in tensors.items():
        if known.get(name) != tensor.shape:
            found = "nothing" if name not in known else f"the shape {tuple(known[name])}"
            raise ArtifactError(
                f"{directory}: expected {name} of shape {tuple(tensor.shape)}, found {found}. "
                "Remove the directory; the run goes on from the checkpoint before it"
            )
    reader = HuggingFaceStorageReader(str(directory))
    alone = not any(isinstance(tensor, DTensor) for tensor in tensors.values())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*load in a single process.*")  # as intended
        state_dict_loader.load(dict(tensors), storage_reader=reader, no_dist=alone)
