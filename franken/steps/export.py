"""Write a model as a plain transformers checkpoint with a model card."""

from typing import Any

from franken.composition.hydra import write_hydra
from franken.composition.hydra.card import hydra_card
from franken.config.steps import ExportStep
from franken.files import read_json
from franken.parts.card import CardFacts, model_card
from franken.parts.export import export_model
from franken.steps.context import StepContext
from franken.steps.models import is_hydra, open_hydra_model, open_model


def run(step: ExportStep, context: StepContext) -> dict[str, Any]:
    """The directory ``model`` loads with plain transformers, without franken.

    A Hydra LLM becomes a directory of body and tables (franken/composition/hydra/storage.py); a
    ``select_table`` step makes ordinary models of it.
    """
    artifact = context.inputs["model"]
    scores = []
    if "scores" in context.inputs:
        scores = read_json(context.inputs["scores"].path / "scores.json")
    facts = CardFacts(
        title=step.model, recipe=step.recipe, scores=scores,
        keys={step.model: artifact.key, **artifact.inputs},
    )  # fmt: skip
    target = context.directory / "model"
    if is_hydra(artifact):
        hydra = open_hydra_model(artifact, context.store)
        write_hydra(hydra, target, card=hydra_card(hydra, facts))
    else:
        ref = open_model(artifact, context.store)
        export_model(ref, target, card=model_card(ref, facts))
    return {"step": step.model}
