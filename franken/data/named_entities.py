"""Names of the source language beside entities of target-language text (LEIA).

Yamada & Ri, Findings of ACL 2024, arXiv 2402.11485. The authors take Wikipedia's links and the
English names of Wikidata; here entities are the entries of the data's lexicon (in the embedded
world its nouns), found as whole words, the longest first. Without the marked names the text is what
it was, but for ``instead``.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any

import regex

from franken.config.data import Mixture, NamesConfig, NameSide
from franken.data.derived_source import DerivedSource
from franken.data.source import TRAIN, DataSource
from franken.errors import DataError
from franken.seeds import derive_seed

_WORD = regex.compile(r"[\p{L}\p{N}\p{M}]+")


class NamedEntities(DerivedSource):
    """Another source whose training text names entities in the source language too."""

    def __init__(self, source: DataSource, config: NamesConfig) -> None:
        """Args: the ``source`` behind, and where names go."""
        super().__init__(source)
        self._naming = config
        self._known: dict[str, dict[tuple[str, ...], str]] = {}

    def difference(self) -> Any:
        """What decides the text."""
        own = self._naming
        return ["names", str(own.side), own.probability, own.markers]

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Of the source behind and its lexicon, which has the names."""
        counted = None if roles is None else {*roles, "lexicon"}
        return super().fingerprint(counted, languages)

    def texts(self, role: str, lang: str, split: str = TRAIN) -> Iterator[str]:
        """Training text with names; held-out text as it is."""
        texts = self._source.texts(role, lang, split)
        own = self._naming
        plain = split != TRAIN or lang == self.config.source_language
        if plain or own.side is NameSide.none:
            return texts
        if lang not in self._known:
            self._known[lang] = _by_words(self._names(lang))
        seed = derive_seed(0, "names", lang, role)
        return (
            name_entities(text, self._known[lang], own, Random(f"{seed} {text}")) for text in texts
        )

    def _names(self, lang: str) -> list[tuple[str, str]]:
        if not self._source.has("lexicon", lang):
            raise DataError(
                f"the mixture's `names` finds none in {lang!r}; name a source data.lexicon: the "
                "source language's name of each entity, and the entity"
            )
        entities = getattr(self._source, "entities", self._source.lexicon)
        return list(entities(lang))


def with_names(source: DataSource, mixture: Mixture) -> DataSource:
    """The source as a mixture reads it: with names where it asks for them."""
    if mixture.names is None:
        return source
    named: Any = NamedEntities(source, mixture.names)
    source = named
    return source


def name_entities(
    text: str, names: Mapping[tuple[str, ...], str], config: NamesConfig, draws: Random
) -> str:
    """A text with the names of its entities.

    Args:
        text: of the target language.
        names: lower-case words of an entity -> its name in the source language.
        config: side, probability and markers.
        draws: one for each entity.
    """
    before, after = config.markers
    parts, at = [], 0
    for start, stop, name in _entities(text, names):
        if draws.random() >= config.probability:
            continue
        marked = f"{before} {name}{after}"
        gap = start - 1 if text[start - 1 : start] == " " else start
        place = stop if config.side is NameSide.right else gap
        parts += [text[at:place], marked]
        at = stop if config.side is NameSide.instead else place
    return "".join([*parts, text[at:]])


def _by_words(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for name, entity in pairs:
        words = tuple(_WORD.findall(entity.lower()))
        if words:
            found.setdefault(words, name)
    return found


def _entities(text: str, names: Mapping[tuple[str, ...], str]) -> Iterator[tuple[int, int, str]]:
    """Start, stop and name of each entity, from left to right, none within another."""
    words = [(match.group().lower(), *match.span()) for match in _WORD.finditer(text)]
    longest = max(map(len, names), default=0)
    at = 0
    while at < len(words):
        for count in range(min(longest, len(words) - at), 0, -1):
            chosen = words[at : at + count]
            name = names.get(tuple(word for word, _, _ in chosen))
            if name is not None:
                yield chosen[0][1], chosen[-1][2], name
                at += count
                break
        else:
            at += 1
