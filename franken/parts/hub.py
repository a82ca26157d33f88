"""Checkpoints by the directory they lie in, or by their place on the hub."""

from pathlib import Path

from franken.errors import DataError

MODEL_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")
"""Files that make a model."""


def resolve_checkpoint(path: str, revision: str | None = None) -> Path:
    """The local directory of a checkpoint, or a GGUF file; the hub is asked once, then cached.

    Raises:
        DataError: when the path is neither a directory, nor a GGUF file, nor on the hub.
    """
    local = Path(path).expanduser()
    gguf = local.suffix.lower() == ".gguf"
    if local.is_dir() or (gguf and local.is_file()):
        return local.resolve()
    if path.startswith((".", "/", "~")) or path.count("/") != (2 if gguf else 1):
        raise DataError(
            f"path={path!r} is neither a directory nor a GGUF file (looked in "
            f"{Path.cwd()}); give the directory of a transformers checkpoint, a file ending in "
            ".gguf, or a hub id such as org/name or org/name/file.gguf"
        )
    from huggingface_hub import hf_hub_download, snapshot_download

    try:
        if gguf:
            return Path(hf_hub_download(*path.rsplit("/", 1), revision=revision))
        found = snapshot_download(path, revision=revision, allow_patterns=list(MODEL_FILES))
    except Exception as error:
        raise DataError(
            f"path={path!r} could not be had from the hub: {error}; check the "
            "name, your login (gated models) and the network, or give a local directory"
        ) from error
    return Path(found)
