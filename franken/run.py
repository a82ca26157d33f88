"""Runs a checked graph through the store, and gathers its scores.

Demand-driven: an artefact that is there costs a look, and what made it is not touched. Keys are
computed for the whole graph before any step runs.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from franken.config.eval_suite import EvalSuiteConfig
from franken.config.root import Config
from franken.data import open_data
from franken.files import read_json, write_atomically
from franken.recipe import Graph, build_graph
from franken.statistics.units import UNITS_FILE
from franken.steps.common.keys import step_key
from franken.store import Artifact, StepKey, Store
from franken.store.manifest import MANIFEST

log = logging.getLogger(__name__)


@dataclass
class StepOutcome:
    """What became of one step in this run."""

    name: str
    kind: str
    key: str
    cached: bool
    seconds: float


class Runner:
    """One job: a graph, its keys, the store, and what has been done so far."""

    def __init__(
        self, config: Config, run_dir: Path, *, on_step: Callable[[str], None] = lambda line: None
    ) -> None:
        """Check the graph, the data and compute every key; nothing expensive yet.

        Args:
            config: the composed job.
            run_dir: where results and curves of this run go.
            on_step: is told a line when a step begins or ends.
        """
        self.config = config
        self.run_dir = run_dir
        self.on_step = on_step
        self.graph: Graph = build_graph(config)
        self.store = Store(Path(config.store.path), verify=config.store.verify)
        self.keys: dict[str, StepKey] = {}
        for name, step in self.graph.steps.items():
            inputs = {place: self.keys[ref] for place, ref in step.references().items()}
            self.keys[name] = step_key(step, inputs, config)
        self.by_key = {key.key: name for name, key in self.keys.items()}
        self.artifacts: dict[str, Artifact] = {}
        self.outcomes: dict[str, StepOutcome] = {}
        self._validated = False

    def run(self) -> None:
        """Make every target, in the recipe's order."""
        for name in self.graph.targets:
            self.ensure(name)

    def ensure(self, name: str) -> Artifact:
        """The artefact of a step: found, or made after what it needs."""
        if name in self.artifacts:
            return self.artifacts[name]
        started = time.monotonic()
        found = self.store.find(self.keys[name])
        if found is None:
            found = self._make(name)
        else:
            self._note(name, cached=True, seconds=time.monotonic() - started)
        self.artifacts[name] = found
        self._ensure_references(name)
        return found

    def _make(self, name: str) -> Artifact:
        self._validate_data()
        step = self.graph.steps[name]
        inputs = {place: self.ensure(ref) for place, ref in step.references().items()}
        key = self.keys[name]
        started = time.monotonic()

        def build(directory: Path) -> dict[str, Any]:
            from franken.steps.common.context import StepContext

            self.on_step(f"{name}: {step.kind} ...")
            context = StepContext(
                name=name, key=key.key, store=self.store, inputs=inputs, directory=directory,
                scratch=self.store.scratch(key), seed=self.config.seed,
                trainer=self.config.trainer, logger=self.config.logger, run_dir=self.run_dir,
                experiment=self.config.experiment, log_config=key.spec,
            )  # fmt: skip
            meta = step.run(context) or {}
            return {**meta, "references": context.references, "name": name}

        artifact = self.store.produce(key, build, label=f"{name} ({step.kind})")
        self._note(name, cached=not artifact.fresh, seconds=time.monotonic() - started)
        return artifact

    def _ensure_references(self, name: str) -> None:
        """What an artefact points to is made again when it was pruned."""
        for _, key in self.artifacts[name].manifest.get("meta", {}).get("references", []):
            if key in self.by_key:
                self.ensure(self.by_key[key])

    def _validate_data(self) -> None:
        """Look at data files and tasks once, before the first step that has to be computed."""
        if not self._validated:
            data = open_data(self.config.data)
            data.validate()
            if self.graph.evaluations:
                from franken.eval_suite import check_suite

                check_suite(self.config.eval_suite, data)
            for name in self.graph.needed():
                self.graph.steps[name].check(data)
            self._validated = True

    def _note(self, name: str, *, cached: bool, seconds: float) -> None:
        key, kind = self.keys[name], self.graph.steps[name].kind
        self.outcomes[name] = StepOutcome(name, kind, key.key, cached, round(seconds, 3))
        state = "cached" if cached else f"{seconds:.1f} s"
        log.info("step=%s kind=%s key=%s state=%s", name, kind, key.key[:12], state)
        self.on_step(f"{name:<24} {kind:<12} {key.key[:12]}  {state}")

    @property
    def was_done(self) -> bool:
        """Whether nothing had to be computed."""
        return all(outcome.cached for outcome in self.outcomes.values())

    def write_results(self) -> list[dict[str, Any]]:
        """``results.jsonl`` in the run directory: one record per score."""
        records = []
        seen: set[tuple[str, ...]] = set()
        scored = {**self.graph.evaluations, **{name: name for name in self.graph.runs}}
        for model, name in scored.items():
            for score in read_json(self.artifacts[name].path / "scores.json"):
                record = self._record(model, name, score)
                # runs of one model repeat its baselines
                mark = tuple(record[key] for key in ("model", "task", "lang", "metric"))
                if mark not in seen:
                    seen.add(mark)
                    records.append(record)
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        write_atomically(self.run_dir / "results.jsonl", lines.encode())
        self._write_units(list(scored.values()))
        return records

    def _write_units(self, names: list[str]) -> None:
        """``units.jsonl``: the items of every score, by which errors and comparisons are made."""
        lines = []
        for name in dict.fromkeys(names):
            path = self.artifacts[name].path / UNITS_FILE
            if path.is_file():
                own = f'{{"key": "{self.keys[name].key}", '.encode()
                # a line is an object that is not empty: megabytes in all, which need no parsing
                lines += [
                    own + line.removeprefix(b"{") + b"\n"
                    for line in path.read_bytes().split(b"\n")
                    if line
                ]
        write_atomically(self.run_dir / UNITS_FILE, b"".join(lines))

    def write_new_tokens(self) -> None:
        """``new_tokens/<model>.jsonl``: every new token that was met, for ``franken.explain``."""
        suite = self.config.eval_suite
        tasks = suite.tasks if isinstance(suite, EvalSuiteConfig) else {}
        wanted = [name for name, task in tasks.items() if task.kind == "new_tokens"]
        for model, name in self.graph.evaluations.items():
            files = [self.artifacts[name].path / "items" / f"{task}.jsonl" for task in wanted]
            content = b"".join(file.read_bytes() for file in files if file.is_file())
            if content:
                write_atomically(self.run_dir / "new_tokens" / f"{model}.jsonl", content)

    def write_transplants(self) -> None:
        """``transplants/<step>.json``: heat maps, curves and counts for the report."""
        for name in self.graph.runs:
            summary = self.artifacts[name].path / "summary.json"
            if summary.is_file():
                target = self.run_dir / "transplants" / f"{name}.json"
                write_atomically(target, summary.read_bytes())

    def write_curves(self) -> None:
        """``curves/<step>/metrics.csv`` of training that this run did not do from its start."""
        for name in self.graph.needed():
            target = self.run_dir / "curves" / name / "metrics.csv"
            path = self.store.path_of(self.keys[name]) / "training.json"
            if not path.is_file():
                continue
            report = read_json(path)
            # loggers of a training that went on have its later steps alone
            if not target.is_file() or report.get("resumed_at"):
                write_atomically(target, _curve_table(report).encode())

    def _record(self, model: str, name: str, score: dict[str, Any]) -> dict[str, Any]:
        return {
            "experiment": self.config.experiment,
            "recipe": self.config.recipe.name,
            "model": model,
            "variant": self._variant(model),
            **score,
            "seed": self.config.seed,
            "key": self.keys[name].key,
        }

    def _variant(self, model: str) -> str:
        """The job's variant for models that it may have changed; else empty.

        In a grid over initialisers only a new vocabulary, table or pack makes models differ; in
        one that names its variants otherwise (a site, a schedule, a share) any step may, but for
        those that make or read the base. What turns out equal is shown once.
        """
        kinds = {self.graph.steps[name].kind for name in self.graph.ancestors(model)}
        changed = kinds & {"initialise", "build_vocab", "pack"}
        if self.config.variant != self.config.init_method.name:
            changed = kinds - {"pretrain", "load"}
        return self.config.variant if changed else ""

    def summary(self) -> dict[str, Any]:
        """What ``run.json`` says of the steps."""
        return {
            "experiment": self.config.experiment,
            "recipe": self.config.recipe.name,
            "variant": self.config.variant,
            "seed": self.config.seed,
            "keys": [self.keys[name].key for name in self.graph.needed()],
            "steps": [asdict(outcome) for outcome in self.outcomes.values()],
            "initialisations": self._initialisations(),
        }

    def _initialisations(self) -> list[dict[str, Any]]:
        """What the manifests say of how tables were made."""
        found = []
        for name in self.graph.needed():
            key = self.keys[name]
            manifest = self.store.path_of(key) / MANIFEST
            if key.kind == "initialise" and manifest.is_file():
                meta = read_json(manifest).get("meta", {})
                found.append({
                    "step": name, "key": key.key, "variant": self.config.variant,
                    "method": meta.get("method"), "rows": meta.get("rows", {}),
                    "seconds": meta.get("fit_seconds"), "peak": meta.get("fit_peak_bytes"),
                    "gold": meta.get("gold"),
                })  # fmt: skip
        return found


def _curve_table(report: Mapping[str, Any]) -> str:
    """CSV of what ``training.json`` keeps, with the columns of the CSV logger."""
    names = {"bits": "valid/bits_per_token"}
    rows = [
        {"step": point["step"]}
        | {names.get(key, f"{part}/{key}"): point[key] for key in point if key != "step"}
        for part, points in (("train", report["curve"]), ("valid", report.get("validation", [])))
        for point in points
    ]
    columns = sorted({column for row in rows for column in row} - {"step"})
    lines = [["step", *columns]]
    for row in sorted(rows, key=itemgetter("step")):
        lines.append([str(row.get(column, "")) for column in lines[0]])
    return "\n".join([*map(",".join, lines), ""])
