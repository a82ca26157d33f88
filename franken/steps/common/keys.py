"""The key under which the result of a step lies in the store."""

from franken.config.root import Config
from franken.steps.base import Step
from franken.store import StepKey


def step_key(step: Step, inputs: dict[str, StepKey], config: Config) -> StepKey:
    """The key of a step whose inputs' keys are known.

    Args:
        step: the checked step.
        inputs: field -> key of the step that it refers to.
        config: for the seed and the precision.

    Raises:
        DataError: when a file that the options name, and that counts by its content, is not there.
    """
    return StepKey.of(
        kind=step.kind,
        version=step.version,
        config=step.key(config),
        inputs={name: key.key for name, key in inputs.items()},
        seed=config.seed if step.seeded else None,
    )
