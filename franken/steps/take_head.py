"""Put the head that was trained on one model on another, so that its language changes."""

from __future__ import annotations

from typing import Any, ClassVar

from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.config.root import Config
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import read_places, require_relatives, write_model


@step
class TakeHeadStep(Step):
    """Put the head that was trained on one model on another, so that its language changes.

    So a task that was learnt in one language is asked in another: on a swapped table, on a stack
    of adapters, on a body with added differences.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "head": Part.model}
    model: str = ""
    head: str = ""
    """A model with a head."""

    def key(self, config: Config) -> dict[str, Any]:
        """Nothing beside the inputs."""
        return {}

    def run(self, context: StepContext) -> dict[str, Any]:
        """References alone.

        Raises:
            CompatibilityError: where there is no head, or models of other bases.
        """
        places, giver = (read_places(context.inputs[name]) for name in ("model", "head"))
        if "head" not in giver:
            raise CompatibilityError(
                f"step {context.name!r}: {self.head!r} has no head; name a train_labels step, or "
                "one that carries its head on"
            )
        lineages = {"the model": places["lineage"], "the head's": giver["lineage"]}
        require_relatives(context, lineages, "a head serves relatives of the body it learnt on")
        write_model(
            context, body=places["body"], table=places["table"], deltas=places["deltas"],
            lineage=places["lineage"], fingerprint=places["fingerprint"], head=giver["head"],
        )  # fmt: skip
        return {}
