"""Take layers out of a model: every second one, or those that are named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.errors import ConfigError
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    from franken.config.root import Config
    from franken.parts.anatomy import text_config
    from franken.parts.body import save_body
    from franken.parts.model import assemble
    from franken.parts.thinning import without_layers
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, write_model


@step
class ThinStep(Step):
    """Take layers out of a model: every second one, or those that are named.

    Where a smaller model begins that is then trained by the whole one (BiStil, DistilBERT). The
    table stays as it is.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    every: int = 2
    """Of so many neighbours the first stays."""
    keep: list[int] | None = None
    """Numbers of the layers that stay, from 0; ``null``: as ``every`` says."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("every", self.every, 2)
        if self.keep is not None and (not self.keep or min(self.keep) < 0):
            yield "keep", f"must name layers, counted from 0; got {self.keep}"

    def key(self, config: Config) -> dict[str, Any]:
        """Which layers stay."""
        return {"every": self.every} if self.keep is None else {"keep": sorted(self.keep)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes a body; deltas are merged into it.

        Raises:
            ConfigError: for a layer that is not there.
        """
        places = read_places(context.inputs["model"])
        model, tokenizer = assemble(open_model(context.inputs["model"], context.store), merge=True)
        count = int(text_config(model.config).num_hidden_layers)
        kept = set(range(0, count, self.every) if self.keep is None else self.keep)
        if beyond := sorted(kept - set(range(count))):
            raise ConfigError(
                f"step {context.name!r}: keep names the layers {beyond}, and the model has "
                f"{count}, counted from 0"
            )
        smaller = without_layers(model, set(range(count)) - kept)
        fingerprint = save_body(
            smaller, context.directory / "body", tokenizer=tokenizer, lineage=places["lineage"]
        )
        write_model(
            context, body=[HERE, "", "body"], table=places["table"], deltas=[],
            lineage=places["lineage"], fingerprint=fingerprint,
        )  # fmt: skip
        return {"layers": count, "kept": sorted(kept)}
