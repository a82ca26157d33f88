"""Static vectors of source pieces, trained on the target text."""

from __future__ import annotations

from franken.declare import option
from franken.lazy import later
from franken.side_resource.piece_vectors import PieceVectors
from franken.steps.base import Step
from franken.steps.vectors import VectorsStep
from franken.word_vectors.base import PieceSide, VectorUnit

with later():
    from franken.config.data import DataConfig
    from franken.config.root import Config


@option
class SourcePieceVectors(PieceVectors):
    """Static vectors of source pieces, trained on the target text."""

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        return VectorsStep(
            "vectors", unit=VectorUnit.pieces, side=PieceSide.source, base=base,
            vectors=config.word_vectors, data=data,
        )  # fmt: skip
