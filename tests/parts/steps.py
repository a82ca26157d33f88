"""The load step on its own, in a store of its own."""

from dataclasses import dataclass
from pathlib import Path

from franken.config.base_model import LoadedModel
from franken.config.trainer import TrainerConfig
from franken.logger.csv import CsvLogger
from franken.parts.export import export_model
from franken.parts.model import ModelRef
from franken.steps.common.context import StepContext
from franken.steps.common.models import open_model
from franken.steps.load import LoadStep
from franken.store import Artifact, StepKey, Store


@dataclass
class Loaded:
    artifact: Artifact
    store: Store

    @property
    def ref(self) -> ModelRef:
        return open_model(self.artifact, self.store)

    def export(self, directory: Path) -> Path:
        export_model(self.ref, directory, card="# card\n")
        return directory


def run_load(model: LoadedModel, root: Path, **inputs: Artifact) -> Loaded:
    """Load a checkpoint into ``root/store``."""
    store = Store(root / "store")
    key = StepKey.of("load", 1, config={"path": model.path, "dtype": str(model.dtype)}, seed=None)

    def build(directory: Path) -> dict:
        context = StepContext(
            name="base", key=key.key, store=store, inputs=inputs, directory=directory,
            scratch=store.scratch(key), seed=0, trainer=TrainerConfig(), logger=CsvLogger(),
            run_dir=root / "run",
        )  # fmt: skip
        meta = LoadStep(model=model).run(context)
        return {**meta, "references": context.references}

    return Loaded(store.produce(key, build), store)
