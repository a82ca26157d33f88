"""Write a model as a plain transformers checkpoint with a model card."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.files import read_json
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.composition.hydra import write_hydra
    from franken.composition.hydra.card import hydra_card
    from franken.config.root import Config
    from franken.parts.card import CardFacts, model_card
    from franken.parts.export import export_model
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import is_hydra, open_hydra_model, open_model


@step
class ExportStep(Step):
    """Write a model as a plain checkpoint. Made for every name under ``recipe.export``."""

    seeded: ClassVar[bool] = False
    output: ClassVar[Part] = Part.checkpoint
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "scores": Part.scores}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    scores: str | None = None
    """The evaluation whose figures the model card shows."""
    recipe: str = ""
    """Name of the recipe, for the card."""
    pad_to_multiple: int = 1
    """Rows are added up to a multiple of this (``vocab.pad_to_multiple``)."""

    def key(self, config: Config) -> dict[str, Any]:
        """The name that the card shows, and rows that are added."""
        padding = {"pad_to_multiple": self.pad_to_multiple} if self.pad_to_multiple > 1 else {}
        return {"recipe": self.recipe, **padding}

    def run(self, context: StepContext) -> dict[str, Any]:
        """The directory ``model`` loads with plain transformers, without franken.

        A Hydra LLM becomes a directory of body and tables (franken/composition/hydra/storage.py); a
        ``select_table`` step makes ordinary models of it. Its tables are not padded.
        """
        artifact = context.inputs["model"]
        scores = []
        if "scores" in context.inputs:
            scores = read_json(context.inputs["scores"].path / "scores.json")
        facts = CardFacts(
            title=self.model, recipe=self.recipe, scores=scores,
            keys={self.model: artifact.key, **artifact.inputs},
        )  # fmt: skip
        target = context.directory / "model"
        if is_hydra(artifact):
            hydra = open_hydra_model(artifact, context.store)
            write_hydra(hydra, target, card=hydra_card(hydra, facts))
        else:
            ref = open_model(artifact, context.store)
            card = model_card(ref, facts)
            export_model(ref, target, card=card, pad_to_multiple=self.pad_to_multiple)
        return {"step": self.model}
