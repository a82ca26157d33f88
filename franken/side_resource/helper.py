"""The table of a model of the target languages over the target tokenizer."""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.side_resource.base import SideResource
from franken.steps.base import Part, Step
from franken.steps.helper import HelperStep

with later():
    from pathlib import Path

    from franken.config.data import DataConfig
    from franken.config.root import Config
    from franken.parts.table import load_table
    from franken.token_map.resources import InitResources


@option
class Helper(SideResource):
    """The table of a model of the target languages over the target tokenizer."""

    part: ClassVar[Part] = Part.helper

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        return HelperStep("helper", tokenizer=tokenizer, helper=config.helper_model, data=data)

    def read(self, directory: Path, resources: InitResources) -> None:
        resources.helper = load_table(directory / "table")
