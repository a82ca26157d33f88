"""Faults of a recipe's graph that concern Hydra LLMs: who takes one, and what tables it has."""

from collections.abc import Iterator, Mapping, Sequence

from franken.config.checks import hint
from franken.config.eval_suite import EvalSuiteConfig
from franken.config.root import Config
from franken.steps.base import Step
from franken.steps.hydra import HydraStep
from franken.steps.hydra_train import HydraTrainStep
from franken.steps.select_table import SelectTableStep

Steps = Mapping[str, Step]


def hydra_faults(
    steps: Steps, evaluated: Sequence[str], config: Config
) -> Iterator[tuple[str, str]]:
    """Key and message of each fault; the graph's references are known to be sound.

    Args:
        steps: by name.
        evaluated: steps whose models are scored.
        config: the suite's tasks may name tables.
    """
    for name, step in steps.items():
        key = f"recipe.steps.{name}"
        for place, reference in step.references().items():
            if is_hydra(steps, reference) and place.partition(".")[0] not in step.takes_hydra:
                yield (
                    f"{key}.{place}",
                    f"{reference!r} is a Hydra LLM, and a {step.kind} step takes a model of one "
                    f"table; name one: {{step: select_table, model: {reference}, table: NAME}}",
                )
        if isinstance(step, HydraTrainStep):
            yield from _unknown(f"{key}.tables", step.tables, steps, step.model)
        if isinstance(step, SelectTableStep) and not is_hydra(steps, step.model):
            yield f"{key}.model", f"{step.model!r} has one table alone, there is none to select"
        elif isinstance(step, SelectTableStep):
            yield from _unknown(f"{key}.table", [step.table], steps, step.model)
        if isinstance(step, HydraStep):
            for table, giver in step.tables.items():
                if is_hydra(steps, giver):
                    yield from _unknown(f"{key}.tables.{table}", [table], steps, giver)
            kept = _kept(steps, step) or set()
            for table in step.tables:
                if step.name_of(table) in kept:
                    yield (
                        f"{key}.tables.{table}",
                        f"{step.body!r} has a table {step.name_of(table)!r}, which stays (keep); "
                        f"give the new one another name by names.{table}",
                    )
    suite = config.eval_suite
    own_tasks = suite.tasks if isinstance(suite, EvalSuiteConfig) else {}
    for name, task in own_tasks.items():
        for place in ("read", "write"):
            table = getattr(task, place)
            models = evaluated if table is not None else ()
            for model in (model for model in models if is_hydra(steps, model)):
                yield from _unknown(f"eval_suite.tasks.{name}.{place}", [table], steps, model)


def is_hydra(steps: Steps, name: str) -> bool:
    """Whether a step gives a model of several tables."""
    step = steps[name]
    if isinstance(step, HydraTrainStep):
        return is_hydra(steps, step.model)
    return step.kind in ("hydra", "load_hydra")


def tables_of(steps: Steps, name: str) -> set[str] | None:
    """Names of the tables of a step's model; ``None`` where only a file knows them."""
    step = steps[name]
    if isinstance(step, HydraTrainStep):
        return tables_of(steps, step.model)
    if isinstance(step, HydraStep):
        kept = _kept(steps, step)
        return None if kept is None else kept | {step.name_of(key) for key in step.tables}
    return None if step.kind == "load_hydra" else {"default"}


def _kept(steps: Steps, step: HydraStep) -> set[str] | None:
    """Tables of the body that stay; ``None`` where only a file knows them."""
    return tables_of(steps, step.body) if step.keep and is_hydra(steps, step.body) else set()


def _unknown(key: str, names: Sequence[str], steps: Steps, model: str) -> Iterator[tuple[str, str]]:
    known = tables_of(steps, model)
    for name in names if known is not None else ():
        if name not in (known or ()):
            yield key, f"{model!r} has no table {name!r}.{hint(name, sorted(known or ()))}"
