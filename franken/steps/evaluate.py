"""Score a model with a suite; keep every item's output beside the figures."""

from __future__ import annotations

import json
from dataclasses import field, fields
from pathlib import Path
from typing import Any, ClassVar

from franken.config.data import DataConfig
from franken.config.eval_suite import EvalSuiteConfig, LmEvalSuite, SuiteConfig
from franken.data import open_data
from franken.errors import CompatibilityError
from franken.files import read_json, write_atomically, write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import harness_hash, texts_hash
from franken.steps.common.key_parts import options, precision_of, texts

with later():
    from franken.composition.hydra import assemble_hydra
    from franken.config.root import Config
    from franken.data.source import DataSource
    from franken.eval_suite import Score, SuiteResult, evaluate
    from franken.eval_suite.journal import Journal
    from franken.parts.label_head import Labeller, load_head
    from franken.parts.model import assemble
    from franken.parts.table import load_table
    from franken.skillpack.evaluation import evaluate_by_task, evaluate_routed
    from franken.skillpack.experts import Experts
    from franken.statistics import units as unit_files
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import is_hydra, open_hydra_model, open_model
    from franken.steps.ensemble import open_ensemble
    from franken.steps.route import is_routed, open_router, open_routing
    from franken.tasks.new_tokens import origin_of


@step
class EvaluateStep(Step):
    """Score a model with a suite. Made for every name under ``recipe.evaluate``."""

    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.scores
    inputs: ClassVar[dict[str, Part]] = {
        "model": Part.model, "base": Part.model, "initial": Part.model,
    }  # fmt: skip
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    base: str | None = None
    """Whose vocabulary tells which tokens are new; set where the suite has a task of new tokens."""
    initial: str | None = None
    """Likewise the model whose table is as the initialiser made it."""
    suite: SuiteConfig = field(default_factory=EvalSuiteConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """Batches only tile the scores. The harness's tasks bring their own data."""
        if isinstance(self.suite, LmEvalSuite):
            left_out = ("name", "batch_tokens", "include_path", "local")
            return {
                "suite": options(self.suite, *left_out), "harness": harness_hash(self.suite),
                "languages": [self.data.source_language, *self.data.languages],
                "precision": precision_of(config),
            }  # fmt: skip
        return {
            "suite": options(self.suite, "name", "batch_tokens"), "data": texts(self.data),
            "precision": precision_of(config), **texts_hash(self.suite),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``scores.json``, ``units.jsonl`` and ``items/<task>.jsonl``.

        Scores have an entry per task, language and metric; units are the items that each is made
        of. A killed step goes on.
        """
        model: Any
        tokenizer: Any = None
        head: Labeller | None = None
        if is_hydra(context.inputs["model"]):
            ref = open_hydra_model(context.inputs["model"], context.store)
            model = assemble_hydra(ref, device=context.device)
        else:
            plain = open_model(context.inputs["model"], context.store)
            model, tokenizer = assemble(plain, device=context.device)
            if plain.head is not None:
                together = open_ensemble(context.inputs["model"], context.store, context.device)
                head = together or load_head(model, plain.head)
        model.eval()
        data = open_data(self.data)
        options: dict[str, Any] = {
            "seed": context.seed, "device": context.device,
            "journal": Journal(context.scratch / "items.jsonl"),
        }  # fmt: skip
        if head is not None:
            options["head"] = head
        if "initial" in context.inputs:
            first, base = (
                load_table(open_model(context.inputs[name], context.store).table, verify=False)
                for name in ("initial", "base")
            )
            options["origin"] = origin_of(model, tokenizer, base.tokenizer, first.input)
        if is_routed(context.inputs["model"]):
            result = _routed(self, context, model, tokenizer, data, options)
        else:
            result = evaluate(model, tokenizer, self.suite, data, **options)
        size = _pack_size(context.inputs["model"].path)
        scores = [_entry(score, size) for score in result.scores]
        units = "".join(map(_units_line, result.scores))
        write_atomically(context.directory / unit_files.UNITS_FILE, units.encode())
        write_json(context.directory / "scores.json", scores)
        for task, items in result.items.items():
            lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
            write_atomically(context.directory / "items" / f"{task}.jsonl", lines.encode())
        return {"scores": len(result.scores), "skipped": result.skipped}


def _routed(
    step: EvaluateStep, context: StepContext, model: Any, tokenizer: Any, data: DataSource,
    options: dict[str, Any],
) -> SuiteResult:  # fmt: skip
    """Score a model with several packs, of which the task or a router picks one."""
    artifact = context.inputs["model"]
    routing, packs = open_routing(artifact, context.store)
    if routing["kind"] == "none":
        return evaluate(model, tokenizer, step.suite, data, **options)
    experts = Experts(model, packs)
    if routing["kind"] == "by_task":
        tasks = routing["tasks"]
        if not isinstance(step.suite, EvalSuiteConfig):
            raise CompatibilityError(
                f"router=oracle names packs for franken's own tasks, not for those of eval_suite="
                f"{step.suite.name}; choose router=sequence, or grafts of one pack each"
            )
        return evaluate_by_task(experts, tasks, tokenizer, step.suite, data, **options)
    router = open_router(artifact)
    return evaluate_routed(experts, router, tokenizer, step.suite, data, **options)


def _entry(score: Score, size: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``scores.json``."""
    own = {f.name: getattr(score, f.name) for f in fields(score) if f.name != "units"}
    return {**own, "extra": {**score.extra, **size}}


def _units_line(score: Score) -> str:
    """A line of ``units.jsonl``: what errors and comparisons are made of."""
    if score.units is None:
        return ""
    own = {"task": score.task, "lang": score.lang, "metric": score.metric}
    return json.dumps({**own, **score.units.to_json()}, ensure_ascii=False) + "\n"


def _pack_size(directory: Path) -> dict[str, Any]:
    """Bytes of the packs in a model, for figures of score against size."""
    path = directory / "graft.json"
    if not path.is_file():
        return {}
    packs = read_json(path)["packs"].values()
    own = sum(pack["bytes"] for pack in packs)
    return {"pack_bytes": own, "pack_ratio": own / max(1, sum(p["changed_bytes"] for p in packs))}
