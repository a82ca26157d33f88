"""Let the heads of several source languages label together, near languages before far ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.config.data import DataConfig
from franken.data import open_data
from franken.errors import CompatibilityError, ConfigError, DataError, did_you_mean
from franken.files import read_json, write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import precision_of

with later():
    from franken.config.root import Config
    from franken.data.schemas import read_items
    from franken.data.source import DataSource
    from franken.eval_suite.readout import text_positions
    from franken.parts.label_ensemble import (
        HeadEnsemble,
        distance_weights,
        mean_distance,
        mean_states,
    )
    from franken.parts.label_head import load_head
    from franken.parts.model import assemble
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model, open_places, read_places, write_model
    from franken.store import Artifact, Store

FILE = "ensemble.json"


class SourceWeights(StrEnum):
    """How much each source language's head counts."""

    inverse_distance = "inverse_distance"
    """``softmax(1 / d_s)``, d_s the mean distance of pooled states of translated sentences."""
    equal = "equal"


@step
class EnsembleStep(Step):
    """Let the heads of several source languages label together, near languages before far ones.

    UniBridge's ensemble (ACL 2024, arXiv 2406.09717). Evaluations add up the heads' logits; any
    other step that takes the result sees the first of the models.
    """

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {
        "models": Part.model, "languages": Part.model, "target": Part.model,
    }  # fmt: skip
    models: dict[str, str] = field(default_factory=lambda: {})
    """Source language -> model in the target language with that language's head."""
    languages: dict[str, str] = field(default_factory=lambda: {})
    """Source language -> model of that language, whose states are compared."""
    target: str = ""
    """Model of the target language."""
    language: str = ""
    """The target language."""
    weights: SourceWeights = SourceWeights.inverse_distance
    task: str = "translation"
    """Evaluation set of translated sentences (schema flores), the same in every language."""
    sentences: int = 100
    """Of it that are compared."""
    part: str = "test"
    data: DataConfig = field(default_factory=DataConfig)

    def references(self) -> dict[str, str]:
        """Models of both kinds."""
        return {
            "target": self.target,
            **{f"models.{k}": v for k, v in self.models.items()},
            **{f"languages.{k}": v for k, v in self.languages.items()},
        }

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.models:
            yield "models", "names none; give one for each source language, e.g. {en: on_target}"
        if set(self.models) != set(self.languages):
            yield "languages", f"must be those of models: {', '.join(self.models)}"
        if not self.language:
            yield "language", "is missing: the target language, whose sentences are compared"
        yield from at_least("sentences", self.sentences, 1)

    def key(self, config: Config) -> dict[str, Any]:
        """Text counts where distances do."""
        content: dict[str, Any] = {"models": list(self.models), "weights": str(self.weights)}
        if self.weights is SourceWeights.inverse_distance:
            content |= {
                "task": [self.task, self.part, self.sentences, self.language],
                "data": open_data(self.data).fingerprint(), "precision": precision_of(config),
            }  # fmt: skip
        return content

    def check(self, data: DataSource) -> None:
        """The set is one of translations, into all of these languages.

        Raises:
            ConfigError: where it is none, or not there.
            DataError: where a language is missing.
        """
        if self.weights is SourceWeights.equal:
            return
        if self.task not in data.tasks() or data.task_schema(self.task) != "flores":
            raise ConfigError(
                f"{self.task!r} is no evaluation set of translations (schema flores) of data="
                f"{data.config.name}.{did_you_mean(self.task, data.tasks())}"
            )
        known, source = data.task_languages(self.task), data.config.source_language
        wanted = {self.language, *self.languages} - {source}
        if missing := sorted(wanted - set(known)):
            raise DataError(
                f"evaluation set {self.task!r} has no {', '.join(missing)}; it has "
                f"{', '.join(known)}. Name others in the step's language and languages"
            )

    def run(self, context: StepContext) -> dict[str, Any]:
        """References, and ``ensemble.json`` with weights and distances.

        Raises:
            CompatibilityError: where a model has no head, or another vocabulary than the first.
            DataError: where sentences of the languages do not match.
        """
        places = {name: read_places(context.inputs[f"models.{name}"]) for name in self.models}
        first = next(iter(places.values()))
        for name, own in places.items():
            if "head" not in own or own["table"] != first["table"]:
                raise CompatibilityError(
                    f"step {context.name!r}: {self.models[name]!r} has no head, or another "
                    f"vocabulary than {next(iter(self.models.values()))!r}; heads label together "
                    "on models of one table"
                )
        distances = self._distances(context)
        weights = dict.fromkeys(self.models, 1 / len(self.models))
        if distances is not None:
            weights = distance_weights(distances)
        for own in places.values():
            for place in (own["body"], own["table"], own["head"], *own["deltas"]):
                if place[:2] not in context.references:
                    context.references.append(place[:2])
        facts = {"weights": weights, "distances": distances}
        write_json(context.directory / FILE, {"members": places, **facts})
        write_model(
            context, body=first["body"], table=first["table"], deltas=first["deltas"],
            lineage=first["lineage"], fingerprint=first["fingerprint"], head=first["head"],
        )  # fmt: skip
        return facts

    def _distances(self, context: StepContext) -> dict[str, float] | None:
        if self.weights is SourceWeights.equal:
            return None
        data = open_data(self.data)
        states = {}
        for name in ("target", *(f"languages.{lang}" for lang in self.languages)):
            lang = self.language if name == "target" else name.partition(".")[2]
            ref = open_model(context.inputs[name], context.store)
            model, tokenizer = assemble(ref, device=context.device)
            texts = sentences_of(data, self.task, lang, self.language, self.part, self.sentences)
            longest = text_positions(model) or 512
            states[name] = mean_states(model, tokenizer, texts, longest=longest)
        own = states["target"]
        return {lang: mean_distance(states[f"languages.{lang}"], own) for lang in self.languages}


def sentences_of(
    data: DataSource, task: str, lang: str, target: str, split: str, count: int
) -> list[str]:
    """The first sentences of a translation set in a language.

    Those of the source language stand beside the target's own.

    Raises:
        DataError: where there are fewer.
    """
    source = data.config.source_language
    of = target if lang == source else lang
    rows = data.task_rows(task, of, split)[:count]
    items: list[Any] = read_items(data.task_schema(task), rows, lang=of, source_lang=source)
    found = [item.source if lang == source else item.target for item in items]
    if len(found) < count:
        raise DataError(
            f"evaluation set {task!r} has {len(found)} sentences in {lang!r}, fewer than {count}; "
            "lower sentences"
        )
    return found


def open_ensemble(artifact: Artifact, store: Store, device: str) -> HeadEnsemble | None:
    """The heads of an ensemble, each on its model; ``None`` for any other model."""
    if not (artifact.path / FILE).is_file():
        return None
    content = read_json(artifact.path / FILE)
    heads = []
    for places in content["members"].values():
        ref = open_places(places, artifact, store)
        model, _ = assemble(ref, device=device)
        assert ref.head is not None, "checked when it was made"
        heads.append(load_head(model, ref.head))
    return HeadEnsemble(tuple(heads), tuple(content["weights"].values()))
