"""Tasks of lm-evaluation-harness on a model in memory; nothing is exported.

The harness reads the task files and the data, writes the prompts and computes the metrics with
their standard errors; franken's scorer answers its requests (``harness_model.py``).
"""

import fnmatch
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from franken.composition.hydra import HydraModel
from franken.config.eval_suite import LmEvalSuite
from franken.data.source import DataSource
from franken.decoding.ends import stop_ids
from franken.errors import CompatibilityError, ConfigError, FrankenError, did_you_mean
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.harness_results import NO_LANGUAGE, add_results, language_of
from franken.eval_suite.journal import Journal
from franken.eval_suite.progress import shown_progress
from franken.eval_suite.readout import read_out
from franken.eval_suite.suite import SuiteResult
from franken.products import asking

log = logging.getLogger(__name__)


def evaluate(
    model: Any,
    tokenizer: Any,
    suite: LmEvalSuite,
    data: DataSource,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = True,
    journal: Journal | None = None,
) -> SuiteResult:
    """Run tasks of the harness on one model.

    Args:
        model: a causal LM of transformers, also one wrapped by peft or with a router; or a
            ``HydraModel``, of which each task takes one table (``suite.tables``, else the one of
            the language that the task's name tells).
        tokenizer: its tokenizer; not used for a ``HydraModel``.
        suite: the tasks.
        data: tells the source language and the target languages; tasks have data of their own.
        seed: of worked examples that a task draws.
        device: where to run; ``None``: where the model is.
        progress: whether to draw a bar on a terminal.
        journal: where answers are kept as they come, and what an earlier run kept; closed at the
            end.

    Returns:
        A score per task (and group of tasks) and metric, and the harness's record of every item.

    Raises:
        ConfigError: for a task that the harness does not know.
        CompatibilityError: for a task of a Hydra LLM that no table serves.
    """
    manager = task_manager(suite)
    names = known_tasks(manager, suite, data)
    result = SuiteResult()
    if device is not None:
        model.to(device)
    was_training = bool(model.training)
    model.eval()
    kept = journal or Journal()
    try:
        with asking(model), shown_progress(progress) as advance, own_randomness():
            for voice, part, encoder, readout in _speakers(model, tokenizer, names, suite, data):
                from franken.eval_suite.harness_model import HarnessModel

                asked = HarnessModel(
                    readout, encoder, batch_tokens=suite.batch_tokens, advance=advance,
                    journal=kept, voice=voice,
                )  # fmt: skip
                add_results(result, _run(asked, part, manager, suite, seed), data)
    finally:
        kept.close()
        model.train(was_training)
    return result


def task_manager(suite: LmEvalSuite) -> Any:
    """The harness's index of tasks; of ``include_path`` alone where that has all that is wanted.

    Its own 14,000 take several seconds to list, once per process.

    Raises:
        FrankenError: where the harness is not installed.
        ConfigError: for a directory that is not there.
    """
    if find_spec("lm_eval") is None:
        raise FrankenError(
            "eval_suite=lm_eval needs lm-evaluation-harness: pip install 'franken[lm-eval]'"
        )
    for place in suite.include_path:
        if not Path(place).expanduser().is_dir():
            raise ConfigError(
                f"eval_suite.include_path: {place!r} is no directory (looked in {Path.cwd()}); it "
                "is to hold YAML files of tasks"
            )
    own = tuple(str(Path(place).expanduser()) for place in suite.include_path)
    if own:
        found = _indexed(own, defaults=False)
        if all(fnmatch.filter(found.all_tasks, name) for name in suite.tasks):
            return found
    return _indexed(own, defaults=True)


@lru_cache(maxsize=4)
def _indexed(places: tuple[str, ...], *, defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=list(places), include_defaults=defaults)


def known_tasks(manager: Any, suite: LmEvalSuite, data: DataSource) -> list[str]:
    """Names of tasks, groups and tags, globs replaced by what they match.

    Raises:
        ConfigError: for those that the harness does not know, all at once.
    """
    known = set(manager.all_tasks)
    left_out = [name[1:] for name in suite.tasks if name.startswith("!")]
    found: list[str] = []
    faults: list[str] = []
    for name in (name for name in suite.tasks if not name.startswith("!")):
        matches = [name] if name in known else _matched(manager, name, left_out)
        if name not in known and suite.of_data:
            spoken = [data.config.source_language, *data.config.languages]
            matches = [match for match in matches if language_of(match, data) in spoken]
        found += matches
        if not matches:
            where = f" in {', '.join(spoken)}" if name not in known and suite.of_data else ""
            faults.append(
                f"eval_suite.tasks: lm-eval {version('lm_eval')} knows no task {name!r}{where}."
                f"{did_you_mean(name, manager.all_tasks)}"
            )
    if faults:
        raise ConfigError("\n".join(faults))
    return list(dict.fromkeys(found))


def _matched(manager: Any, pattern: str, left_out: Sequence[str]) -> list[str]:
    """What a glob means: groups stand for their tasks."""
    matches = [
        name
        for name in fnmatch.filter(manager.all_tasks, pattern)
        if not any(fnmatch.fnmatchcase(name, other) for other in left_out)
    ]
    groups = tuple(f"{name}_" for name in matches if name in manager.all_groups)
    return [name for name in matches if not (groups and name.startswith(groups))]


def _speakers(
    model: Any, tokenizer: Any, names: list[str], suite: LmEvalSuite, data: DataSource
) -> Iterator[tuple[str, list[str], Encoder, Any]]:
    """Name of a Hydra LLM's table, the tasks in it, and what reads and answers them."""
    if not isinstance(model, HydraModel):
        own = getattr(model, "readout", None)
        encoder = Encoder(tokenizer, end_ids=stop_ids(tokenizer, model))
        yield "", names, encoder, read_out(model) if own is None else own()
        return
    by_table: dict[str, list[str]] = {}
    for name in names:
        by_table.setdefault(_table(model, name, suite, data), []).append(name)
    for table, part in by_table.items():
        view = model.view(table, [table])
        encoder = Encoder(view.tokenizer, view.writable, end_ids=view.ends.ids)
        yield table, part, encoder, read_out(view.model)


def _table(model: HydraModel, name: str, suite: LmEvalSuite, data: DataSource) -> str:
    """The table that a task of a Hydra LLM is read and written in."""
    for pattern, table in suite.tables.items():
        if fnmatch.fnmatchcase(name, pattern):
            return model.router.check(table)
    language = language_of(name, data)
    if language == NO_LANGUAGE:
        raise CompatibilityError(
            f"the name of task {name!r} tells no language, so no table of the Hydra LLM is known "
            f"to serve it; write eval_suite.tables={{{name}: TABLE}}"
        )
    return model.router.by_language(language)


@contextmanager
def own_randomness() -> Iterator[None]:
    """Tasks may draw from the global generators: seeded as the harness does, then put back."""
    before = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(0)
        np.random.seed(1234)
        torch.manual_seed(1234)
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])


def _run(
    asked: Any, names: list[str], manager: Any, suite: LmEvalSuite, seed: int
) -> Mapping[str, Any]:
    from lm_eval import evaluate as run_harness

    specs: list[Any] = []
    for name in names:
        replaced = _replaced_data(manager, name, suite)
        specs.append({"task": name, **replaced} if replaced else name)
    loaded = manager.load(specs)
    for task in loaded["tasks"].values():
        own = task.get_config("num_fewshot")
        if suite.shots is not None and own != 0:  # a task whose file says 0 takes none
            task.set_config(key="num_fewshot", value=suite.shots)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=seed if suite.shot_seed is None else suite.shot_seed)
    found: Mapping[str, Any] = run_harness(
        lm=asked,
        task_dict=loaded,
        limit=suite.limit,
        bootstrap_iters=suite.bootstrap,
        apply_chat_template=suite.chat,
        log_samples=True,
    )
    return found


def _replaced_data(manager: Any, name: str, suite: LmEvalSuite) -> dict[str, str]:
    """The local directory in place of a task's hub data set, where ``suite.local`` names one."""
    if not suite.local:
        return {}
    if name not in manager.all_subtasks:
        raise ConfigError(
            f"eval_suite.tasks: {name!r} is a group of tasks; where eval_suite.local replaces "
            "their data, name the tasks one by one"
        )
    path = (manager.task_index[name].cfg or {}).get("dataset_path")
    if path in suite.local:
        return {"dataset_path": str(Path(suite.local[path]).expanduser().resolve())}
    return {}
