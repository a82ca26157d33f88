"""Tune a Hydra LLM on pairs that are read in one vocabulary and written in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.config.data import TEXT_ROLES, DataConfig, Mixture
from franken.config.training import BESIDE_BODY, CHANGES_BODY, Trainable, TrainingConfig
from franken.data import open_data
from franken.data.source import TEXT_STREAMS
from franken.errors import CompatibilityError
from franken.files import write_json
from franken.lazy import later
from franken.steps.base import HERE, Part, Step, step
from franken.steps.common.key_parts import (
    frozen_weights,
    precision_of,
    prompt,
    split_of,
    training_options,
)
from franken.steps.train import capabilities_to_train

with later():
    from franken.composition.hydra import assemble_hydra
    from franken.composition.hydra.writing import save_hydra_body
    from franken.config.root import Config
    from franken.data.generated_pairs import WithPairs
    from franken.data.mismatched_pairs import Mismatched
    from franken.data.segments import Flow, SegmentDataModule, SegmentEncoder
    from franken.parts.restore import restore_body, restore_table
    from franken.parts.segmented import segmented
    from franken.parts.table import save_table
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_hydra_model, read_places, write_model
    from franken.training import make_loggers, train_model


@step
class HydraTrainStep(Step):
    """Tune a Hydra LLM: sentence pairs are read in one vocabulary and written in another."""

    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.pairs}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    tables: list[str] = field(default_factory=list)
    """Tables whose rows are trained; the others stay as they are."""
    trainable: Trainable = Trainable.embeddings
    """``embeddings`` means those of ``tables``, with ``full`` and ``embeddings_and_edge_layers``
    too."""
    directions: list[str] = field(default_factory=lambda: ["to_target"])
    """Of sentence pairs: ``to_target`` (read the source language), ``to_source``; both: in turn."""
    copies: float = 0.0
    """Share of the pairs that are written in the language they are read in: saying it again."""
    prompt: str | None = None
    """Template of the pairs; ``null``: ``data.parallel_template``."""
    pairs: str | None = None
    """A ``back_translate`` step whose pairs stand for the role ``parallel``."""
    mismatched: float = 0.0
    """Share of the training pairs that get the translation of another pair: a corpus that was
    aligned badly."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def capabilities(self) -> tuple[str, ...]:
        """As a ``train`` step."""
        return capabilities_to_train(self.trainable)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.training.budget is not None:
            yield "training.budget", "is not counted in training of several tables; set steps"
        if self.trainable in BESIDE_BODY:
            yield (
                "trainable",
                f"cannot be {self.trainable} for a Hydra LLM; train before tables are joined",
            )
        rows = (Trainable.embeddings, Trainable.embeddings_and_edge_layers)
        if self.trainable in rows and not self.tables:
            yield "tables", f"names no table, but trainable={self.trainable} trains tables"
        valid = ("to_target", "to_source")
        if not self.directions or not set(self.directions) <= set(valid):
            yield "directions", f"must be some of {', '.join(valid)}; got {self.directions}"
        yield from in_range("copies", self.copies, 0.0, 1.0)
        yield from in_range("mismatched", self.mismatched, 0.0, 1.0)
        if self.prompt is not None and "{to_text}" not in self.prompt:
            yield "prompt", f"lacks {{to_text}}; got {self.prompt!r}"

    def key(self, config: Config) -> dict[str, Any]:
        """What is tuned, how, on which pairs read in which direction."""
        noise = {"mismatched": self.mismatched} if self.mismatched else {}
        return {
            "trainable": str(self.trainable), "tables": sorted(self.tables), **noise,
            "flow": [self.directions, self.copies, prompt(self.prompt, self.data)],
            "training": training_options(self.training), "data": split_of(self.data, self.split),
            "precision": precision_of(config),
            **frozen_weights(self.training, self.trainable, config),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Saves the tuned tables (and the body where it changed) and refers to the rest.

        An ordinary model is taken as one with the table ``default``, and stays an ordinary model.
        What did not train is saved as it was read, whatever its format while the rest trained.

        Raises:
            CompatibilityError: for a table that the model lacks, or a model that carries a delta.
        """
        places = read_places(context.inputs["model"])
        if places["deltas"]:
            raise CompatibilityError(
                f"step {context.name!r}: a Hydra LLM with a delta cannot be trained; train before "
                "the delta is made"
            )
        ref = open_hydra_model(context.inputs["model"], context.store)
        hydra = assemble_hydra(ref)
        for name in self.tables:
            hydra.router.check(name)
        mixture = self.data.mixtures[self.split]
        languages = mixture.languages or [self.data.source_language, *self.data.languages]
        flow = Flow(
            {language: hydra.router.by_language(language)
             for language in {self.data.source_language, *languages}},
            tuple(self.directions), self.prompt or self.data.parallel_template, self.copies,
        )  # fmt: skip
        written = written_tables(flow, mixture, languages, self.data.source_language)
        others = [name for name in {*flow.tables.values(), *self.tables} if name not in written]
        view = hydra.view(written[0], [*written[1:], *sorted(others)], joint=True)
        embedding = segmented(view.model)
        assert embedding is not None
        embedding.written = tuple(written)
        for name, table in hydra.tables.items():
            table.frozen = name not in self.tables or self.trainable is Trainable.body
        source = open_data(self.data)
        if self.pairs:
            source = WithPairs(source, context.inputs["pairs"].path / "pairs")
        if self.mismatched:
            source = Mismatched(source, self.mismatched)
        datamodule = SegmentDataModule(
            encoder=SegmentEncoder(
                {name: table.tokenizer for name, table in view.tables.items()}, view.layout.offsets,
                view.layout.total, written,
            ),
            flow=flow,
            source=source, mixture=mixture, training=self.training, seed=context.seed,
            work_dir=context.scratch / "corpus", source_language=self.data.source_language,
            languages=languages, workers=context.trainer.workers,
        )  # fmt: skip
        loggers = make_loggers(
            context.logger, context.run_dir / "curves" / context.name, group=context.experiment,
            job_type=context.name, run_id=context.key, config=context.log_config,
        )  # fmt: skip
        report = train_model(
            view.model, None, datamodule, self.training, self.trainable, context.trainer,
            work_dir=context.scratch, seed=context.seed, loggers=loggers,
        )  # fmt: skip
        content = {**report.to_json(), "mixture": datamodule.mixture_report(), "written": written}
        write_json(context.directory / "training.json", content)

        several = "tables" in places
        tables = dict(places["tables"]) if several else {"default": places["table"]}
        for name in self.tables if self.trainable is not Trainable.body else []:
            rows = hydra.tables[name]
            restore_table(rows.embedding, rows.head, ref.tables[name])
            save_table(rows.table(), context.directory / "tables" / name)
            tables[name] = [HERE, "", f"tables/{name}"]
        body, fingerprint = places["body"], places["fingerprint"]
        if self.trainable in CHANGES_BODY:
            restore_body(hydra.body, ref.body)
            fingerprint = save_hydra_body(hydra, context.directory / "body")
            body = [HERE, "", "body"]
        routing = places.get("routing", {})
        write_model(
            context, body=body, table=tables[routing.get("default") or next(iter(tables))],
            deltas=[], lineage=places["lineage"], fingerprint=fingerprint,
            tables=tables if several else None, routing=routing if several else None,
        )  # fmt: skip
        summary = {k: v for k, v in content.items() if isinstance(v, int | float | str)}
        return {"tables": self.tables, "written": written, "training": summary}


def written_tables(
    flow: Flow, mixture: Mixture, languages: list[str], source_language: str
) -> list[str]:
    """Tables that the texts of a mixture are written in, target languages' first."""
    roles = {role for role in TEXT_ROLES if mixture.shares.get(role, 0) > 0}
    targets = [language for language in languages if language != source_language]
    found: list[str] = []
    if "parallel" in roles and "to_target" in flow.directions:
        found += targets
    if roles & set(TEXT_STREAMS):
        found += [*targets, *([source_language] if source_language in languages else [])]
    backward = "to_source" in flow.directions
    if "parallel" in roles and backward and flow.copies > 0:
        found += targets
    again = flow.copies > 0 and "to_target" in flow.directions
    if "instructions" in roles or ("parallel" in roles and (backward or again)):
        found.append(source_language)
    return list(dict.fromkeys(flow.of(language) for language in found))
