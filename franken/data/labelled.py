"""Evaluation sets read as texts with labels: one of the whole text, or one of each of its words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from franken.data.items import ChoiceItem, TaggedItem
from franken.data.schemas import read_items
from franken.data.source import TRAIN, DataSource
from franken.errors import ConfigError, DataError, did_you_mean
from franken.parts.label_set import LabelledUnit, LabelSet

UNITS = {"sib200": LabelledUnit.sentence, "tagged": LabelledUnit.token}
"""Schema of an evaluation set -> what its labels are of."""


@dataclass(frozen=True)
class Labelled:
    """A text with its labels."""

    id: str
    words: tuple[str, ...]
    """One where the label is of the whole text."""
    labels: tuple[str, ...]
    """As many."""

    @property
    def text(self) -> str:
        """The words with blanks between."""
        return " ".join(self.words)


def unit_of(source: DataSource, task: str) -> LabelledUnit:
    """What the labels of an evaluation set are of.

    Raises:
        ConfigError: where the data have no such set, or it is none of labels.
    """
    if task not in source.tasks():
        raise ConfigError(
            f"{task!r} is no evaluation set of data={source.config.name}."
            f"{did_you_mean(task, source.tasks())}"
        )
    schema = source.task_schema(task)
    if schema not in UNITS:
        raise ConfigError(
            f"evaluation set {task!r} has the schema {schema!r}, which holds no labels; it needs "
            f"one of {', '.join(UNITS)}"
        )
    return UNITS[schema]


def read_labelled(
    source: DataSource, task: str, languages: Iterable[str], split: str = TRAIN, *,
    limit: int | None = None,
) -> list[Labelled]:  # fmt: skip
    """Texts of a part of an evaluation set, in the order of the languages.

    Args:
        source: has the set.
        task: its name.
        languages: of the texts.
        split: the part.
        limit: the first so many of each language; ``None``: all.

    Raises:
        DataError: where a language has none.
    """
    schema, own = source.task_schema(task), source.config.source_language
    return [
        labelled(item)
        for lang in languages
        for item in read_items(
            schema, source.task_rows(task, lang, split)[:limit], lang=lang, source_lang=own
        )
    ]


def labelled(item: Any) -> Labelled:
    """An item of an evaluation set as a text with labels."""
    if isinstance(item, TaggedItem):
        return Labelled(item.id, item.words, item.tags)
    assert isinstance(item, ChoiceItem), "the schema says so"
    return Labelled(item.id, (item.fields["text"],), (item.options[item.answer],))


def label_set(texts: Iterable[Labelled], unit: LabelledUnit) -> LabelSet:
    """The labels in use, ``O`` (no name) first, else by the alphabet.

    Raises:
        DataError: where there is only one.
    """
    used = {label for text in texts for label in text.labels}
    if len(used) < 2:
        raise DataError(
            f"the training part has the labels {sorted(used)}; a head tells at least two apart"
        )
    return LabelSet(unit, tuple(sorted(used, key=lambda name: (name != "O", name))))
