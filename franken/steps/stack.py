"""Put adapters that were trained apart on one model, in an order; a language's is so exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar

from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.config.root import Config
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import read_places, write_model


@step
class StackStep(Step):
    """Put adapters that were trained apart on one model, in an order (MAD-X).

    Of each model that ``adapters`` names its last delta is taken: the one that its training made.
    So a task's adapter, trained over the source language's, goes over the target language's.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "adapters": Part.model}
    model: str = ""
    adapters: dict[str, str] = field(default_factory=lambda: {})
    """Place -> the step that trained it; the first acts first."""

    def references(self) -> dict[str, str]:
        """One reference per adapter."""
        return {"model": self.model, **{f"adapters.{k}": v for k, v in self.adapters.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.adapters:
            yield "adapters", "names none; give at least one, e.g. {language: target_language}"

    def key(self, config: Config) -> dict[str, Any]:
        """The order."""
        return {"adapters": list(self.adapters)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """References alone.

        Raises:
            CompatibilityError: where a model has no delta, or one of another body.
        """
        places = read_places(context.inputs["model"])
        deltas = list(places["deltas"])
        for name in self.adapters:
            given = read_places(context.inputs[f"adapters.{name}"])
            if not given["deltas"]:
                raise CompatibilityError(
                    f"step {context.name!r}: {self.adapters[name]!r} was trained without an "
                    "adapter; name a train step with trainable=adapter or lora"
                )
            if given["fingerprint"] != places["fingerprint"]:
                raise CompatibilityError(
                    f"step {context.name!r}: the adapter of {self.adapters[name]!r} was trained on "
                    f"body {given['fingerprint'][:12]}, this is {places['fingerprint'][:12]}"
                )
            deltas.append(given["deltas"][-1])
        write_model(
            context, body=places["body"], table=places["table"], deltas=deltas,
            lineage=places["lineage"], fingerprint=places["fingerprint"],
        )  # fmt: skip
        return {"adapters": list(self.adapters)}
