"""Take the adapter of one task and one language out of a hypernetwork, as a plain one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step

with later():
    from franken.config.root import Config
    from franken.parts.adapter_files import save_adapter
    from franken.parts.hyper import has_network, load_network, put_plain
    from franken.parts.model import assemble
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, read_places, write_model


@step
class HyperAdapterStep(Step):
    """Take the adapter of one task and one language out of a hypernetwork, as a plain one.

    The pair need not have been learnt together. Result: the model with the adapter, in AdapterHub's
    layout, and the task's head on it.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"hyper": Part.model}
    hyper: str = ""
    """A ``hyper`` step."""
    task: str = ""
    """One that it learnt."""
    language: str = ""
    """One that it learnt labels or text of."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in ("task", "language"):
            if not getattr(self, name):
                yield name, "is missing"

    def key(self, config: Config) -> dict[str, Any]:
        """The pair."""
        return {"task": self.task, "language": self.language}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the adapter into the folder ``delta``.

        Raises:
            CompatibilityError: where the step is no hypernetwork's.
            ConfigError: for a task or language that has no embedding.
        """
        artifact = context.inputs["hyper"]
        if not has_network(artifact.path):
            raise CompatibilityError(
                f"step {context.name!r}: {self.hyper!r} made no hypernetwork; name a 'hyper' step"
            )
        network = load_network(artifact.path)
        network.choose(self.task, self.language)
        places = read_places(artifact)
        model, _ = assemble(open_model(artifact, context.store))
        shape = put_plain(model, network, "made")
        save_adapter(
            model, context.directory / "delta", shape, name="made", body=places["fingerprint"]
        )  # fmt: skip
        head = artifact.path / "heads" / self.task
        write_model(
            context, body=places["body"], table=places["table"],
            deltas=[*places["deltas"], [HERE, "", "delta"]], lineage=places["lineage"],
            fingerprint=places["fingerprint"],
            head=[artifact.kind, artifact.key, f"heads/{self.task}"] if head.is_dir() else None,
        )  # fmt: skip
        return {"task": self.task, "language": self.language}
