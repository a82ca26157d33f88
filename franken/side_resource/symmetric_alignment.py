"""Word-pair counts from links of both directions."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from franken.alignment.fast_align import FastAlignAlignment
from franken.alignment.ibm1 import Ibm1Alignment
from franken.declare import option
from franken.lazy import later
from franken.side_resource.base import SideResource
from franken.steps.align import AlignStep
from franken.steps.base import Part, Step

with later():
    from pathlib import Path

    from franken.alignment import load_tables
    from franken.config.data import DataConfig
    from franken.config.root import Config
    from franken.token_map.resources import InitResources


@option
class SymmetricAlignment(SideResource):
    """Word-pair counts by fast_align's model in both directions.

    An aligner that was chosen in place of the default one (``alignment=ibm1``) makes them instead.
    """

    part: ClassVar[Part] = Part.alignment

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        aligner = config.alignment
        if isinstance(aligner, Ibm1Alignment) and aligner.name == "ibm1":
            aligner = replace(FastAlignAlignment(), max_pairs=aligner.max_pairs)
        model = base if aligner.reads_model else None
        return AlignStep("align", alignment=aligner, data=data, model=model)

    def read(self, directory: Path, resources: InitResources) -> None:
        resources.alignments = load_tables(directory)
