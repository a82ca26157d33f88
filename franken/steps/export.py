"""Write a model as a plain transformers checkpoint with a model card."""

from typing import Any

from franken.config.steps import ExportStep
from franken.files import read_json
from franken.parts.card import model_card
from franken.parts.export import export_model
from franken.steps.context import StepContext
from franken.steps.models import open_model, read_places


def run(step: ExportStep, context: StepContext) -> dict[str, Any]:
    """The directory ``model`` loads with AutoModelForCausalLM and AutoTokenizer, without franken."""
    scores = []
    if "scores" in context.inputs:
        scores = read_json(context.inputs["scores"].path / "scores.json")
    artifact = context.inputs["model"]
    card = model_card(
        name=step.model, recipe=step.recipe, provenance=read_places(artifact), scores=scores,
        manifest=artifact.manifest,
    )  # fmt: skip
    export_model(open_model(artifact, context.store), context.directory / "model", card=card)
    return {"step": step.model}
