"""Static vectors of target pieces, trained on the target text."""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.side_resource.base import SideResource
from franken.steps.base import Part, Step
from franken.steps.vectors import VectorsStep
from franken.word_vectors.base import PieceSide, VectorUnit

with later():
    from pathlib import Path

    from franken.config.data import DataConfig
    from franken.config.root import Config
    from franken.token_map.resources import InitResources
    from franken.word_vectors import load_spaces


@option
class PieceVectors(SideResource):
    """Static vectors of target pieces, trained on the target text."""

    part: ClassVar[Part] = Part.vectors

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        return VectorsStep(
            "vectors", unit=VectorUnit.pieces, side=PieceSide.target, tokenizer=tokenizer,
            vectors=config.word_vectors, data=data,
        )  # fmt: skip

    def read(self, directory: Path, resources: InitResources) -> None:
        resources.piece_vectors = {**resources.piece_vectors, **load_spaces(directory)}
