"""The concepts of the world: one row per concept, one column per language.

The files ``lexicon/<topic>.tsv`` hold, for each language, the surface forms that its grammar needs,
separated by ``/`` (for instance Turkish nominative, accusative and locative of a noun).
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

TOPICS = (
    "science", "travel", "politics", "sports", "health", "entertainment", "geography",
)  # fmt: skip
"""Topics with words of their own; a file each."""
SHARED = "shared"
"""Words of everyday life that tell nothing about the topic."""
CATEGORIES = ("person", "object", "place", "verb", "adjective", "time", "number")


@dataclass(frozen=True)
class Concept:
    """A meaning with its word in every language."""

    name: str
    """The English base form."""
    topic: str
    category: str
    forms: tuple[tuple[str, tuple[str, ...]], ...]
    """Language -> its forms, in the order that the language's grammar documents."""

    def form(self, language: str, index: int = 0) -> str:
        """A form in a language; the last one when fewer are written (uninflected words)."""
        forms = self._by_language()[language]
        return forms[min(index, len(forms) - 1)]

    def all_forms(self, language: str) -> tuple[str, ...]:
        """Every form in a language."""
        return self._by_language()[language]

    def _by_language(self) -> dict[str, tuple[str, ...]]:
        return _forms_of(self)

    def __hash__(self) -> int:
        return hash((self.topic, self.category, self.name))


@cache
def _forms_of(concept: Concept) -> dict[str, tuple[str, ...]]:
    return dict(concept.forms)


@cache
def all_concepts() -> tuple[Concept, ...]:
    """Every concept, in the order of the files."""
    found = []
    for topic in (*TOPICS, SHARED):
        text = files(__package__).joinpath("lexicon", f"{topic}.tsv").read_text(encoding="utf-8")
        header, *rows = [line.split("\t") for line in text.splitlines() if line.strip()]
        for row in rows:
            forms = tuple(
                (language, tuple(cell.split("/")))
                for language, cell in zip(header[1:], row[1:], strict=True)
            )
            name = dict(forms)["en"][0]
            found.append(Concept(name, topic, row[0], forms))
    return tuple(found)


@cache
def concepts(topic: str, category: str) -> tuple[Concept, ...]:
    """The concepts of one topic (or ``shared``) and category."""
    return tuple(c for c in all_concepts() if c.topic == topic and c.category == category)
