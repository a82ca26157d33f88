"""Train a network that makes adapters from a task, a language and a layer (Hyper-X)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from franken.config.checks import at_least
from franken.config.data import DataConfig
from franken.config.training import TEXT_TASK, TrainingConfig
from franken.data import open_data
from franken.data.labelled import label_set, read_labelled, unit_of
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import precision_of, training_options

with later():
    from franken.config.root import Config
    from franken.data import collate
    from franken.eval_suite.batching import right_padded
    from franken.parts.hyper import network_for, put_network, save_network
    from franken.parts.label_head import put_head, save_head
    from franken.parts.model import assemble
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.labelled import check_labelled, labelled_batches
    from franken.steps.common.models import open_model, read_places, write_model
    from franken.training.hyper import Sources, train_network
    from franken.training.masking import TokenMasker

if TYPE_CHECKING:
    from franken.data.source import DataSource
    from franken.training.batches import Batch


@step
class HyperStep(Step):
    """Train a network that makes adapters from a task, a language and a layer (Hyper-X).

    Ustun et al., EMNLP 2022, arXiv 2205.12148. Tasks and languages are learnt in turn, each step's
    drawn evenly; text of a language is a task too (hidden tokens), so that one without labels has
    an embedding. The model stays as it is; ``hyper_adapter`` takes the adapter of any pair out.
    """

    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    """A masked language model without deltas."""
    tasks: dict[str, list[str]] = field(default_factory=lambda: {})
    """Evaluation set of labels -> languages in which it is told."""
    text: list[str] = field(default_factory=lambda: [])
    """Languages whose text is read."""
    lines: int = 2000
    """Of each language's text."""
    reduction: float = 4.0
    """Width of the layers over that of the bottlenecks (the paper: 3, so 256 units)."""
    embedding: int = 64
    """Width of each embedding."""
    hidden: int = 192
    """Width of the network."""
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """Reads ``steps``, ``batch_size``, ``sequence_length``, ``lr`` and its schedule, ``betas``,
    ``grad_clip``, ``masking``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.tasks:
            yield "tasks", "names none; give at least one, e.g. {part_of_speech: [en]}"
        if TEXT_TASK in self.tasks:
            yield "tasks", f"{TEXT_TASK!r} is the task of hidden tokens; name languages under text"
        for name in ("lines", "embedding", "hidden"):
            yield from at_least(name, getattr(self, name), 1)
        if not self.reduction > 0:
            yield "reduction", f"must be positive, got {self.reduction}"

    def key(self, config: Config) -> dict[str, Any]:
        """Everything: what is learnt, on what, and the network's sizes."""
        return {
            "tasks": self.tasks, "text": self.text, "lines": self.lines,
            "sizes": [self.reduction, self.embedding, self.hidden],
            "training": training_options(self.training), "precision": precision_of(config),
            "data": open_data(self.data).fingerprint(),
        }  # fmt: skip

    def check(self, data: DataSource) -> None:
        """The sets are of labels, in the languages that are told.

        Raises:
            ConfigError: where one is not, or not there.
            DataError: where a language is missing.
        """
        for task, languages in self.tasks.items():
            check_labelled(data, task, languages)

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the network and a head for each task."""
        source = open_data(self.data)
        model, tokenizer = assemble(open_model(context.inputs["model"], context.store))
        languages = sorted({*self.text, *(lang for own in self.tasks.values() for lang in own)})
        network = network_for(
            model, [*self.tasks, TEXT_TASK], languages, reduction=self.reduction,
            embedding=self.embedding, hidden=self.hidden, seed=derive_seed(context.seed, "hyper"),
        )  # fmt: skip
        heads, labelled = {}, {}
        for task, told in self.tasks.items():
            labels = label_set(read_labelled(source, task, told), unit_of(source, task))
            for language in told:
                module, _ = labelled_batches(
                    source, task, [language], model, tokenizer, self.training, context.seed,
                    labels=labels,
                )  # fmt: skip
                labelled[task, language] = list(islice(
                    module.train_dataloader(), -(-module.count // self.training.batch_size)
                ))  # fmt: skip
            heads[task] = put_head(model, labels, seed=derive_seed(context.seed, "head", task))
        put_network(model, network)
        text = {(TEXT_TASK, lang): self._text(source, lang, tokenizer) for lang in self.text}
        sources = Sources(labelled, text, TokenMasker.of(tokenizer, self.training.masking))
        report = train_network(
            model, network, heads, sources, self.training, derive_seed(context.seed, "draws")
        )
        save_network(network, context.directory)
        for task, head in heads.items():
            save_head(head, context.directory / "heads" / task)
        places = read_places(context.inputs["model"])
        write_model(
            context, body=places["body"], table=places["table"], deltas=places["deltas"],
            lineage=places["lineage"], fingerprint=places["fingerprint"],
        )  # fmt: skip
        return report

    def _text(self, source: DataSource, language: str, tokenizer: Any) -> list[Batch]:
        """Batches of a language's lines, one to a row."""
        lines = list(islice(source.texts("monolingual", language), self.lines))
        rows = [
            tokenizer(line, truncation=True, max_length=self.training.sequence_length).input_ids
            for line in lines
        ]
        size, made = self.training.batch_size, []
        for at in range(0, len(rows) - size + 1, size):
            group = rows[at : at + size]
            ids, segments = right_padded(group, int(tokenizer.pad_token_id or 0))
            labels = ids.masked_fill(segments == 0, collate.IGNORED)
            made.append({"input_ids": ids, "labels": labels, "segment_ids": segments})
        return made
