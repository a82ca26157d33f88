"""A checkpoint's body as files of our own: copied byte for byte, without its table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from franken.files import clone_or_copy, write_json
from franken.parts.body import describe_body, stored_generation_config
from franken.parts.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint
from franken.parts.config_edits import unique_configs
from franken.parts.control_tokens import control_tokens_of
from franken.parts.safetensors_file import copied_entry, write_file
from franken.parts.tokenizer_files import TOKENIZER_FILES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase as Tokenizer

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack", ".onnx")
_NOT_COPIED = {*TOKENIZER_FILES, "config.json", "generation_config.json", "README.md", "body.json"}


def copy_body(
    checkpoint: Checkpoint, directory: Path, *, tokenizer: Tokenizer, lineage: str | None = None
) -> str:
    """Copy a checkpoint's body: nothing that is done to the source later changes the copy.

    Shards without table tensors share their blocks with the source where the file system can do
    that and still keep the two apart (reflinks); the others are copied through a small buffer.

    Args:
        checkpoint: in transformers layout.
        directory: where to; made if need be.
        tokenizer: what the special-token ids in the configs refer to.
        lineage: fingerprint of the base body that this one descends from; default: its own.

    Returns:
        The body's fingerprint.
    """
    directory.mkdir(parents=True, exist_ok=True)
    anatomy = checkpoint.anatomy()
    weight_map: dict[str, str] = {}
    for path, names in checkpoint.shards().items():
        kept = [name for name in names if not anatomy.is_table_tensor(name)]
        if kept == names:
            clone_or_copy(path, directory / path.name)
        elif kept:
            entries = [copied_entry(path, checkpoint.range(name)) for name in kept]
            write_file(directory / path.name, entries, checkpoint.metadata or {"format": "pt"})
        weight_map |= dict.fromkeys(kept, path.name)
    if set(weight_map.values()) != {SINGLE_FILE}:
        total = sum(checkpoint.range(name).bytes_count for name in weight_map)
        write_json(
            directory / INDEX_FILE,
            {"metadata": {"total_size": total}, "weight_map": weight_map},
        )
    for name in ("config.json", "generation_config.json"):
        if (checkpoint.directory / name).is_file():
            shutil.copyfile(checkpoint.directory / name, directory / name)
    copy_other_files(checkpoint.directory, directory)
    configs = unique_configs(checkpoint.config(), stored_generation_config(checkpoint.directory))
    tokens = control_tokens_of(configs, tokenizer)
    return describe_body(directory, anatomy, tokens=tokens, lineage=lineage)


def copy_other_files(source: Path, target: Path) -> None:
    """Licence, processor settings and the like; neither weights nor what is written anew."""
    for path in sorted(source.iterdir()):
        weights = path.suffix in _WEIGHT_SUFFIXES or path.name.endswith(".index.json")
        if path.is_file() and not weights and path.name not in _NOT_COPIED:
            shutil.copyfile(path, target / path.name)
