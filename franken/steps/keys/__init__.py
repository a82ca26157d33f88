"""What enters a step's key: the part of its config that can change its result, and nothing else.

Paths, worker counts, batch sizes that only tile the same sum, logging and the intervals of
checkpoints stay out; precision and seeds are in. One function per kind of step says so.
"""

from collections.abc import Callable
from typing import Any

from franken.config.root import Config
from franken.config.steps import StepConfig
from franken.steps.keys import hydra, models, preferences, skillpack, transplant, vocabulary
from franken.steps.keys.files import checkpoint_hash, resolve_checkpoint
from franken.store import StepKey

SLICES: dict[str, Callable[[Any, Config], dict[str, Any]]] = {
    "load": models.load,
    "pretrain": models.pretrain,
    "train": models.train,
    "swap": models.swap,
    "evaluate": models.evaluate,
    "export": models.export,
    "build_vocab": vocabulary.build_vocab,
    "align": vocabulary.align,
    "vectors": vocabulary.vectors,
    "helper": vocabulary.helper,
    "initialise": vocabulary.initialise,
    "load_hydra": hydra.load_hydra,
    "hydra": hydra.hydra,
    "select_table": hydra.select_table,
    "hydra_train": hydra.hydra_train,
    "back_translate": hydra.back_translate,
    "pack": skillpack.pack,
    "graft": skillpack.graft,
    "route": skillpack.route,
    "sample_answers": preferences.sample_answers,
    "rank_answers": preferences.rank_answers,
    "transplant": transplant.transplant,
    "select_pairs": transplant.select_pairs,
}
"""Step kind -> what of its options counts."""

_SEEDLESS = ("load", "load_hydra", "align", "swap", "hydra", "select_table", "export",
             "rank_answers")  # fmt: skip


def step_key(step: StepConfig, inputs: dict[str, StepKey], config: Config) -> StepKey:
    """The key of a step whose inputs' keys are known.

    Args:
        step: the checked step.
        inputs: field -> key of the step that it refers to.
        config: for the seed and the precision.

    Raises:
        DataError: when a file that the options name, and that counts by its content, is not there.
    """
    if step.kind not in SLICES:
        raise TypeError(f"no key is defined for step kind {step.kind!r}")
    return StepKey.of(
        kind=step.kind,
        version=step.version,
        config=SLICES[step.kind](step, config),
        inputs={name: key.key for name, key in inputs.items()},
        seed=None if step.kind in _SEEDLESS else config.seed,
    )


__all__ = ["SLICES", "checkpoint_hash", "resolve_checkpoint", "step_key"]
