"""Put adapters that were trained apart side by side, under attention (AdapterFusion)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar

from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    from franken.config.root import Config
    from franken.parts import adapter_files
    from franken.parts.delta import read_description
    from franken.parts.fusion import start_fusion
    from franken.parts.model import assemble
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, write_model


@step
class FuseStep(Step):
    """Put adapters that were trained apart side by side on one model, under attention.

    The first half of AdapterFusion (EACL 2021, arXiv 2005.00247). Of each model that ``adapters``
    names its last delta is taken, as ``stack`` does. The attention over them has learnt nothing
    yet, so they are about averaged; ``train`` or ``train_labels`` with ``trainable: fusion`` is
    the second half.
    """

    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "adapters": Part.model}
    model: str = ""
    """What the adapters are put on; its own deltas act before them."""
    adapters: dict[str, str] = field(default_factory=lambda: {})
    """Name -> the step that trained it."""
    value: bool = True
    """With a value matrix, which begins at the identity; ``false``: the static kind, without."""
    turns: bool = False
    """No attention: they act one at a time, another in each step of a training above them, the
    first one where nothing trains (TLR)."""

    def references(self) -> dict[str, str]:
        """One reference per adapter."""
        return {"model": self.model, **{f"adapters.{k}": v for k, v in self.adapters.items()}}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.adapters:
            yield "adapters", "names none; give at least one, e.g. {topics: topics_en}"
        for name in self.adapters:
            if not name.isidentifier():
                yield "adapters", f"{name!r} must be a name of letters, digits and underscores"

    def key(self, config: Config) -> dict[str, Any]:
        """The order, and the kind."""
        turns = {"turns": True} if self.turns else {}
        return {"adapters": list(self.adapters), "value": self.value, **turns}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the fusion into the folder ``delta``.

        Raises:
            CompatibilityError: where a model's last delta is no adapter, or one of another body.
        """
        places = read_places(context.inputs["model"])
        folders = {}
        for name, of in self.adapters.items():
            ref = open_model(context.inputs[f"adapters.{name}"], context.store)
            kind = read_description(ref.deltas[-1])["kind"] if ref.deltas else "none"
            if kind != adapter_files.KIND or ref.fingerprint != places["fingerprint"]:
                raise CompatibilityError(
                    f"step {context.name!r}: the last delta of {of!r} is {kind}, on body "
                    f"{ref.fingerprint[:12]}; adapters of body {places['fingerprint'][:12]} are "
                    "fused: name train or train_labels steps with trainable=adapter"
                )
            folders[name] = ref.deltas[-1]
        model, _ = assemble(open_model(context.inputs["model"], context.store))
        start_fusion(
            context.directory / "delta", folders, model, value=self.value,
            seed=derive_seed(context.seed, "fusion"), body=places["fingerprint"],
            turns=self.turns,
        )  # fmt: skip
        write_model(
            context, body=places["body"], table=places["table"],
            deltas=[*places["deltas"], [HERE, "", "delta"]], lineage=places["lineage"],
            fingerprint=places["fingerprint"],
        )  # fmt: skip
        return {"adapters": list(self.adapters), "value": self.value}
