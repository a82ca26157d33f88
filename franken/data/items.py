"""Evaluation items: what a task of any schema comes down to."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ChoiceItem:
    """A question with options, one of them right."""

    id: str
    fields: dict[str, str]
    """Places of the prompt template, e.g. ``passage`` and ``question``."""
    options: tuple[str, ...]
    answer: int
    """Index into ``options``."""
    cluster: str = field(default="", compare=False)
    """What it depends on together with other items, such as a passage; empty: it stands alone."""


@dataclass(frozen=True)
class TranslationItem:
    """A sentence and its reference translation."""

    id: str
    source: str
    """In the source language."""
    target: str


@dataclass(frozen=True)
class MathItem:
    """A word problem and its number."""

    id: str
    question: str
    answer: str
    """The number in plain digits, without thousands separators."""


@dataclass(frozen=True)
class AnswerItem:
    """A question with a short free answer."""

    id: str
    fields: dict[str, str]
    answers: tuple[str, ...]
    """Accepted wordings, the published one first."""
    cluster: str = field(default="", compare=False)
    """As of a :class:`ChoiceItem`."""


@dataclass(frozen=True)
class TaggedItem:
    """A sentence whose words carry tags: names (``B-PER``, ``O``, ...) or parts of speech."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    """One of each word."""


Item = ChoiceItem | TranslationItem | MathItem | AnswerItem | TaggedItem
