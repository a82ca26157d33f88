"""Word-pair counts from parallel text."""

from __future__ import annotations

from typing import ClassVar

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
class Alignment(SideResource):
    """Word-pair counts from parallel text."""

    part: ClassVar[Part] = Part.alignment

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        model = base if config.alignment.reads_model else None
        return AlignStep("align", alignment=config.alignment, data=data, model=model)

    def read(self, directory: Path, resources: InitResources) -> None:
        resources.alignments = load_tables(directory)
