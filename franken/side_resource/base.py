"""What a side resource is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from franken.declare import options
from franken.steps.base import Part, Step

if TYPE_CHECKING:
    from pathlib import Path

    from franken.config.data import DataConfig
    from franken.config.root import Config
    from franken.token_map.resources import InitResources


class SideResource:
    """Something that a step makes for initialisers whose ``needs()`` names it.

    A recipe does not speak of it: the graph adds the step where a method asks for it.
    """

    name: ClassVar[str] = ""
    part: ClassVar[Part]
    """What the step gives."""

    def step(self, config: Config, data: DataConfig, base: str, tokenizer: str) -> Step:
        """The step that makes it.

        Args:
            config: of the job.
            data: of the ``initialise`` step.
            base: name of the step of the source model.
            tokenizer: name of the step of the target vocabulary.
        """
        raise NotImplementedError

    def read(self, directory: Path, resources: InitResources) -> None:
        """Put what lies in the step's directory among the resources."""
        raise NotImplementedError


def side_resources() -> dict[str, SideResource]:
    """Name -> side resource, those of other packages included."""
    return {name: cls() for name, cls in options("side_resource").items()}
