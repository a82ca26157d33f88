"""A recipe's steps as a checked graph: names, kinds, fields, parts, cycles, ancestry, splits.

Light: nothing here reads data or imports torch, so that a faulty recipe fails in well under two
seconds. Running the graph is in ``franken/run.py``.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from franken.composition.swap import SpecialRows
from franken.config.checks import Fault, hint, join_key
from franken.config.data import DataConfig
from franken.config.eval_suite import EvalSuiteConfig
from franken.config.root import Config
from franken.declare.typed import typed_value
from franken.errors import ConfigError
from franken.recipe_hydra import hydra_faults, is_hydra
from franken.recipe_training import training_faults
from franken.steps.base import Part, Step, step_kinds
from franken.steps.evaluate import EvaluateStep
from franken.steps.export import ExportStep


@dataclass
class Graph:
    """Steps by name in an order in which they can run, and the ones asked for."""

    steps: dict[str, Step] = field(default_factory=dict)
    evaluations: dict[str, str] = field(default_factory=dict)
    """Model step -> its evaluation step, in the order of ``recipe.evaluate``."""
    exports: dict[str, str] = field(default_factory=dict)
    """Model step -> its export step."""
    runs: list[str] = field(default_factory=list)
    """Steps with scores of their own, in the order of ``recipe.run``."""

    @property
    def targets(self) -> list[str]:
        """The steps that the run was asked for."""
        return [*self.evaluations.values(), *self.runs, *self.exports.values()]

    def ancestors(self, name: str) -> set[str]:
        """All steps that ``name`` depends on, itself included."""
        found = {name}
        for reference in self.steps[name].references().values():
            found |= self.ancestors(reference)
        return found

    def needed(self) -> list[str]:
        """The steps that some target depends on, in running order."""
        wanted = set().union(*(self.ancestors(name) for name in self.targets))
        return [name for name in self.steps if name in wanted]


def build_graph(config: Config) -> Graph:
    """The checked graph of a job.

    Raises:
        ConfigError: naming every fault.
    """
    builder = _Builder(config)
    if builder.faults:
        raise ConfigError("\n".join(map(str, builder.faults)))
    return builder.graph()


def graph_faults(config: Config) -> list[Fault]:
    """Everything wrong with ``config.recipe``, with full keys."""
    return _Builder(config).faults


class _Builder:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.recipe = config.recipe
        self.steps: dict[str, Step] = {}
        self.faults: list[Fault] = []
        if not self.recipe.steps:
            self._fault("steps", "holds no step; choose recipe=NAME")
        for name, entry in self._with_donor().items():
            step = self._step(str(name), entry)
            if step is not None:
                self.steps[str(name)] = step
        if self.faults:
            return
        self._add_side_steps()
        for name, step in self.steps.items():
            self._check_references(name, step)
        self._check_targets()
        if not self.faults:
            self._check_cycles()
        if not self.faults:
            self._check_ancestry()
            for key, message in hydra_faults(self.steps, self.recipe.evaluate, self.config):
                self.faults.append(Fault(key, message))
        if not self.faults:
            graph = self.graph()
            needed = {name: graph.steps[name] for name in graph.needed()}
            for key, message in training_faults(needed, self.config.trainer):
                self.faults.append(Fault(key, message))

    def _with_donor(self) -> dict[str, Any]:
        """The recipe's steps, with a checkpoint in the place of the one that it calls its donor."""
        steps, place = dict(self.recipe.steps), self.recipe.donor
        if not self.config.donor.path:
            return steps
        base = steps[place].get("model") if isinstance(steps.get(place), dict) else None
        if base is None:
            has = f"its {place!r} is no step with a model" if place else "it has no place for one"
            self.faults.append(Fault("donor.path", f"recipe={self.recipe.name}: {has}"))
            return steps
        rule = getattr(self.config.composition, "special_rows", None)
        swapped = [entry for entry in steps.values() if entry.get("step") == "swap"]
        gives = rule == SpecialRows.from_donor and place in [entry.get("body") for entry in swapped]
        loaded = {"step": "load", "model": self.config.donor, "relative_of": base}
        return steps | {place: loaded | {"gives_control_rows": gives}}

    def graph(self) -> Graph:
        graph = Graph()
        for name in self._ordered():
            graph.steps[name] = self.steps[name]
        for name in self.recipe.evaluate:
            graph.evaluations[name] = f"evaluate:{name}"
            graph.steps[f"evaluate:{name}"] = EvaluateStep(
                step="evaluate", model=name, suite=self.config.eval_suite, data=self.config.data,
                **self._origin(name),
            )  # fmt: skip
        graph.runs = list(self.recipe.run)
        for name in self.recipe.export:
            graph.exports[name] = f"export:{name}"
            graph.steps[f"export:{name}"] = ExportStep(
                step="export", model=name, scores=graph.evaluations.get(name),
                recipe=self.recipe.name, pad_to_multiple=self.config.vocab.pad_to_multiple,
            )  # fmt: skip
        return graph

    def _add_side_steps(self) -> None:
        """Steps that others need and the recipe does not name; equal ones are one."""
        for name, step in list(self.steps.items()):
            for need, side in step.side_steps(self.config).items():
                free = need not in self.steps or self.steps[need] == side
                own = need if free else f"{need}:{name}"
                self.steps[own] = side
                step.take_side_step(need, own)

    def _origin(self, name: str) -> dict[str, str]:
        """What the vocabulary of a scored model came from, where the suite asks for it."""
        suite = self.config.eval_suite
        tasks = suite.tasks.values() if isinstance(suite, EvalSuiteConfig) else ()
        if not any(task.kind == "new_tokens" for task in tasks):
            return {}
        initial = None if is_hydra(self.steps, name) else self._initialised(name)
        return {} if initial is None else {"base": self._ancestor(name), "initial": initial}

    def _initialised(self, name: str) -> str | None:
        """The step that made the table of a model; ``None`` for a base's own."""
        step = self.steps[name]
        if step.kind == "initialise":
            return name
        references = step.references()
        place = next((references[at] for at in ("table", "model") if at in references), None)
        return None if place is None else self._initialised(place)

    def _fault(self, key: str, message: str) -> None:
        self.faults.append(Fault(join_key("recipe", key), message))

    def _step(self, name: str, entry: Any) -> Step | None:
        key = f"steps.{name}"
        if not isinstance(entry, dict) or "step" not in entry:
            self._fault(key, "must be a mapping with a key 'step' that names its kind")
            return None
        kind, kinds = entry["step"], step_kinds()
        if kind not in kinds:
            self._fault(f"{key}.step", f"{kind!r} is no step kind.{hint(str(kind), kinds)}")
            return None
        cls = kinds[kind]
        known = {f.name: f for f in fields(cls)}
        for given in entry:
            if given not in known:
                self._fault(f"{key}.{given}", f"is no field of a {kind} step.{hint(given, known)}")
        values = {name: value for name, value in entry.items() if name in known}
        for given, value in list(values.items()):
            try:
                values[given] = typed_value(cls, given, value)
            except ValueError as error:
                self._fault(f"{key}.{given}", str(error))
                return None
        for required in cls.inputs:
            default = known[required].default
            if required not in values and default in ("", MISSING):
                self._fault(f"{key}.{required}", "is missing: the name of the step it comes from")
                return None
        step = cls(**values)
        own = getattr(step, "faults", None)
        for relative, message in own() if own else ():
            self._fault(join_key(key, relative), message)
        self._check_split(key, step)
        return step

    def _check_split(self, key: str, step: Step) -> None:
        split = getattr(step, "split", None)
        data = getattr(step, "data", None)
        if split is None or not isinstance(data, DataConfig):
            return
        if split not in data.mixtures:
            self._fault(
                f"{key}.split", f"{split!r} is no mixture of data.{hint(split, data.mixtures)}"
            )

    def _check_references(self, name: str, step: Step) -> None:
        for place, reference in step.references().items():
            key = f"steps.{name}.{place}"
            if reference not in self.steps:
                self._fault(key, f"{reference!r} is no step.{hint(str(reference), self.steps)}")
            elif self.steps[reference].output != step.wanted(place):
                self._fault(
                    key,
                    f"must name a step whose result is of the kind {step.wanted(place)!s}; that of "
                    f"{reference!r} is of the kind {self.steps[reference].output!s}",
                )

    def _check_targets(self) -> None:
        if not (self.recipe.evaluate or self.recipe.export or self.recipe.run):
            self._fault("evaluate", "names no step, run and export neither: nothing would be run")
        scored = [name for name, step in self.steps.items() if step.output == Part.grid]
        for name in self.recipe.run:
            if name not in scored:
                self._fault("run", f"{name!r} is no step with scores.{hint(name, scored)}")
        models = [name for name, step in self.steps.items() if step.output == Part.model]
        for place in ("evaluate", "export"):
            for name in getattr(self.recipe, place):
                if name not in models:
                    self._fault(
                        place, f"{name!r} is no step that gives a model.{hint(name, models)}"
                    )

    def _check_cycles(self) -> None:
        try:
            list(self._ordered())
        except _Cycle as cycle:
            self._fault("steps", f"depend on each other in a circle: {cycle}")

    def _ordered(self) -> Iterator[str]:
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> Iterator[str]:
            if name in path:
                raise _Cycle(" -> ".join([*path[path.index(name) :], name]))
            if name in done:
                return
            for reference in self.steps[name].references().values():
                yield from visit(reference, (*path, name))
            done.add(name)
            yield name

        for name in self.steps:
            yield from visit(name, ())

    def _check_ancestry(self) -> None:
        for name, step in self.steps.items():
            if step.kind == "hydra":
                self._check_tables(name, step)
            if step.kind != "swap":
                continue
            body, table = (self._ancestor(getattr(step, side)) for side in ("body", "table"))
            if body != table:
                self._fault(
                    f"steps.{name}",
                    f"the body descends from {body!r}, the table from {table!r}; a table fits only "
                    "bodies of its own base. If the body's checkpoint was tuned from that base, "
                    "name it by donor.path, or say so with relative_of in its load step",
                )

    def _check_tables(self, name: str, step: Step) -> None:
        references = step.references()
        body = self._ancestor(references["body"])
        for place, reference in references.items():
            if self._ancestor(reference) != body:
                self._fault(
                    f"steps.{name}.{place}",
                    f"{reference!r} descends from {self._ancestor(reference)!r}, the body from "
                    f"{body!r}; a table fits only bodies of its own base",
                )

    def _ancestor(self, name: str) -> str:
        step = self.steps[name]
        for place in ("relative_of", "body", "model", "base"):
            reference = step.references().get(place)
            if reference is not None:
                return self._ancestor(reference)
        return name


class _Cycle(Exception):
    """Steps that wait for each other."""
