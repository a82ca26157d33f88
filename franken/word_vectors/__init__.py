"""Static vectors of words and pieces: trained with fastText, or read from its files.

A folder of spaces has one sub-folder per key: language codes for words; ``target`` and ``source``
for pieces.
"""

from collections.abc import Mapping
from pathlib import Path

from franken.errors import ArtifactError
from franken.word_vectors.space import VectorSpace

__all__ = ["VectorSpace", "load_spaces", "save_spaces"]


def save_spaces(spaces: Mapping[str, VectorSpace], directory: Path) -> None:
    """Write each space to ``directory/key``."""
    for key, space in spaces.items():
        space.save(directory / key)


def load_spaces(directory: Path) -> dict[str, VectorSpace]:
    """Read all spaces of a folder.

    Raises:
        ArtifactError: where it holds none, or one is damaged.
    """
    found = sorted(file.parent for file in directory.glob("*/space.json"))
    if not found:
        raise ArtifactError(f"{directory} holds no word vectors (expected */space.json)")
    return {folder.name: VectorSpace.load(folder) for folder in found}
