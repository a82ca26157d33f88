"""Write a model as a plain transformers checkpoint with a model card."""

from typing import Any

from franken.config.steps import ExportStep
from franken.files import read_json
from franken.parts.card import CardFacts, model_card
from franken.parts.export import export_model
from franken.steps.context import StepContext
from franken.steps.models import open_model


def run(step: ExportStep, context: StepContext) -> dict[str, Any]:
    """The directory ``model`` loads with plain transformers, without franken."""
    artifact = context.inputs["model"]
    ref = open_model(artifact, context.store)
    scores = []
    if "scores" in context.inputs:
        scores = read_json(context.inputs["scores"].path / "scores.json")
    facts = CardFacts(
        title=step.model, recipe=step.recipe, scores=scores,
        keys={step.model: artifact.key, **artifact.inputs},
    )  # fmt: skip
    export_model(ref, context.directory / "model", card=model_card(ref, facts))
    return {"step": step.model}
