"""What every data option offers: text by role, and evaluation sets by schema.

A source is asked, never told: it opens its streams anew at each call, so a consumer may read a role
twice, stop early, or never read it at all. Nothing here imports torch.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

from franken.config.data import DataConfig

TRAIN = "train"
VALID = "valid"
TEST = "test"

TEXT_STREAMS = ("monolingual", "documents")
"""Roles whose records are plain text in one language."""

ROLES = ("documents", "instructions", "lexicon", "monolingual", "parallel", "preferences")

SOURCE_ROLES = ("instructions", "preferences")
"""Roles that are in the source language alone."""


class Pair(NamedTuple):
    """A sentence of the source language and its translation."""

    source: str
    target: str
    alignment: tuple[tuple[int, int], ...] | None = None
    """Gold links: index of a source word, index of a target word (words: white space)."""


class Instruction(NamedTuple):
    """A task put to the model, and the answer it should give."""

    prompt: str
    response: str
    task: str = ""
    """What kind of task it is, where the data say so; a mixture may ask for some kinds only."""


class Preference(NamedTuple):
    """A prompt with an answer that is preferred to another one."""

    prompt: str
    chosen: str
    rejected: str
    task: str = ""
    """As of ``Instruction``."""


@runtime_checkable
class DataSource(Protocol):
    """A data option, opened (``franken.data.open_data``)."""

    config: DataConfig

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Hash of what is read and how: equal fingerprints promise equal streams.

        Args:
            roles: Text roles that count alone, without the evaluation sets; ``None``: everything.
            languages: Languages that count alone, for ``monolingual`` and ``documents``.
        """
        ...

    def texts(self, role: str, lang: str, split: str = TRAIN) -> Iterator[str]:
        """Records of a text role (``monolingual`` or ``documents``) in one language.

        Splits are ``train`` and ``valid``.
        """
        ...

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """Sentence pairs from the source language to ``lang``."""
        ...

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        """Word translations (source word, word of ``lang``)."""
        ...

    def instructions(self, split: str = TRAIN) -> Iterator[Instruction]:
        """Instructions and responses in the source language."""
        ...

    def preferences(self, split: str = TRAIN) -> Iterator[Preference]:
        """Answers in the source language, of which one is preferred."""
        ...

    def tasks(self) -> list[str]:
        """Names of the evaluation sets, sorted."""
        ...

    def task_schema(self, task: str) -> str:
        """Name of the schema of a set; see ``franken.data.schemas``."""
        ...

    def task_languages(self, task: str) -> list[str]:
        """Languages that a set has, in the order of the configuration."""
        ...

    def task_parts(self, task: str) -> list[str]:
        """The parts that a set has: of test, valid and train."""
        ...

    def task_rows(self, task: str, lang: str, split: str = TEST) -> list[dict[str, Any]]:
        """Rows of an evaluation set as published, with the column names of its schema."""
        ...

    def has(self, role: str, lang: str | None = None) -> bool:
        """Whether the source offers a role, in ``lang`` if one is named."""
        ...

    def validate(self) -> None:
        """Looks at every input before work starts.

        Raises:
            DataError: Naming file and line of what is unreadable, empty, mis-shaped or mismatched.
        """
        ...
