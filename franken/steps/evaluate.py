"""Score a model with a suite; keep every item's output beside the figures."""

import json
from dataclasses import asdict
from typing import Any

from franken.composition.hydra import assemble_hydra
from franken.config.steps import EvaluateStep
from franken.data import open_data
from franken.eval_suite import evaluate
from franken.files import write_atomically, write_json
from franken.parts.model import assemble
from franken.steps.context import StepContext
from franken.steps.models import is_hydra, open_hydra_model, open_model


def run(step: EvaluateStep, context: StepContext) -> dict[str, Any]:
    """Writes ``scores.json`` (an entry per task, language, metric) and ``items/<task>.jsonl``."""
    device = "cuda" if context.trainer.accelerator in ("gpu", "cuda") else "cpu"
    model: Any
    tokenizer: Any = None
    if is_hydra(context.inputs["model"]):
        ref = open_hydra_model(context.inputs["model"], context.store)
        model = assemble_hydra(ref, device=device)
    else:
        plain = open_model(context.inputs["model"], context.store)
        model, tokenizer = assemble(plain, device=device)
    model.eval()
    result = evaluate(
        model, tokenizer, step.suite, open_data(step.data), seed=context.seed, device=device
    )
    write_json(context.directory / "scores.json", [asdict(score) for score in result.scores])
    for task, items in result.items.items():
        lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        write_atomically(context.directory / "items" / f"{task}.jsonl", lines.encode())
    return {"scores": len(result.scores), "skipped": result.skipped}
