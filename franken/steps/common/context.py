"""What a step is handed when it runs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from franken.config.trainer import TrainerConfig
from franken.logger.base import CurveLogger
from franken.store import Artifact, Store


@dataclass
class StepContext:
    """Everything a step may use beside its own config."""

    name: str
    """The step's name in the recipe."""
    key: str
    store: Store
    inputs: dict[str, Artifact]
    """Field of the step -> the artefact it refers to."""
    directory: Path
    """Where the step writes; published whole when it returns."""
    scratch: Path
    """Kept when the step is killed: resumable state."""
    seed: int
    trainer: TrainerConfig
    logger: CurveLogger
    run_dir: Path
    """The run's own directory, for curves and logs."""
    experiment: str = "adhoc"
    references: list[list[str]] = field(default_factory=list)
    """Artefacts (kind, key) that what is written here points to."""
    log_config: dict[str, Any] = field(default_factory=dict)
    """The step's resolved config, for the logger."""

    @property
    def device(self) -> str:
        """Where a model belongs that is only run."""
        return self.trainer.device
