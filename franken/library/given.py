"""Texts, sentence pairs and lexicons as people have them, brought into one form.

A bare list belongs to the one target language; a mapping names languages. Iterators are read once
and kept; functions are called anew whenever their text is read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from franken.errors import DataError

Lines = Callable[[], Iterable[str]]
"""Opens a stream of lines anew."""
Texts = Iterable[str] | Callable[[], Iterable[str]] | Path | Mapping[str, Any]
Pairs = Iterable[Any] | Mapping[str, Any]
LexiconLike = Mapping[str, Any] | Iterable[tuple[str, str]]

TARGET = "target"
"""What the target language is called where nobody names it."""


@dataclass
class Given:
    """What a caller has of each language."""

    source_language: str = "en"
    texts: dict[str, Lines] = field(default_factory=dict)
    """Language, the source's included -> its text."""
    pairs: dict[str, list[Any]] = field(default_factory=dict)
    """Target language -> sentence pairs."""
    lexicons: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Target language -> word pairs."""

    @property
    def languages(self) -> list[str]:
        """Target languages, in the order in which they were named; at least one."""
        named = [*self.texts, *self.pairs, *self.lexicons]
        return [x for x in dict.fromkeys(named) if x != self.source_language] or [TARGET]


def gather(
    texts: Texts | None = None,
    source_texts: Texts | None = None,
    pairs: Pairs | None = None,
    lexicon: LexiconLike | None = None,
    *,
    source_language: str = "en",
) -> Given:
    """Bring the arguments of a call into one form.

    Raises:
        DataError: names the argument that has another form.
    """
    by_language = isinstance(texts, Mapping)
    several: list[dict[str, Any]] = [
        dict(texts) if isinstance(texts, Mapping) else {},
        dict(pairs) if isinstance(pairs, Mapping) else {},
        dict(lexicon) if _by_language(lexicon) else {},  # type: ignore[arg-type]
    ]
    named = list(dict.fromkeys(key for part in several for key in part))
    odd = next((key for key in named if not isinstance(key, str)), "")
    if odd != "":
        raise DataError(
            f"{odd!r} is no language; write its code as text (a bare no in YAML is a boolean)"
        )
    targets = [x for x in named if x != source_language] or [TARGET]
    bare = {
        "texts": texts if not by_language else None,
        "pairs": pairs if not several[1] else None,
        "lexicon": lexicon if not several[2] else None,
    }
    for name, value in bare.items():
        if value is not None and len(targets) > 1:
            raise DataError(
                f"{name}= names no language, but there are {', '.join(targets)}; give a mapping "
                f"from language to {name}"
            )
    if source_language in several[1] or source_language in several[2]:
        raise DataError(
            f"pairs= and lexicon= are named by their target language, and {source_language!r} is "
            "the source language; give source_language= if it is another"
        )
    all_texts = several[0] if by_language else {targets[0]: texts} if texts is not None else {}
    found = Given(source_language, {k: lines_of(v, "texts") for k, v in all_texts.items()})
    if source_texts is not None:
        if isinstance(source_texts, Mapping):
            raise DataError(
                f"source_texts= is the text of one language ({source_language}); give lines, not a "
                "mapping"
            )
        found.texts[source_language] = lines_of(source_texts, "source_texts")
    all_pairs = several[1] or ({targets[0]: pairs} if pairs is not None else {})
    found.pairs = {key: _pairs(value) for key, value in all_pairs.items()}
    words = several[2] or ({targets[0]: lexicon} if lexicon is not None else {})
    found.lexicons = {key: _entries(value) for key, value in words.items()}
    return found


def lines_of(value: Any, name: str) -> Lines:
    """A stream of lines that can be opened again.

    Raises:
        DataError: for a single string, and for what holds no strings.
    """
    if isinstance(value, str):
        raise DataError(
            f"{name}= is one string ({value[:30]!r}); give a list of lines, or a pathlib.Path to a "
            "file of lines"
        )
    if isinstance(value, Path):
        return lambda: _read(value)
    if callable(value):
        opened: Lines = value
        return opened
    kept = list(value)
    odd = next(((at, line) for at, line in enumerate(kept) if not isinstance(line, str)), None)
    if odd is not None:
        raise DataError(f"{name}= holds {odd[1]!r} as entry {odd[0]}, which is no text; give lines")
    return lambda: kept


def _read(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield line.rstrip("\n")


def _by_language(lexicon: Any) -> bool:
    """Whether a lexicon's keys are languages: its values are then dictionaries or lists of pairs.

    ``{"house": ["nyumba", "jumba"]}`` is the other case: the values are words.
    """
    if not isinstance(lexicon, Mapping) or not lexicon:
        return False
    first = next(iter(lexicon.values()))
    if isinstance(first, Mapping):
        return True
    return not isinstance(first, str) and any(not isinstance(item, str) for item in list(first)[:1])


def _entries(lexicon: Any) -> list[tuple[str, str]]:
    if isinstance(lexicon, str | Path):
        raise DataError(
            f"lexicon= is a {type(lexicon).__name__} ({str(lexicon)[:30]!r}); give pairs of words, "
            "or a mapping from words to translations"
        )
    items = list(lexicon.items()) if isinstance(lexicon, Mapping) else list(lexicon)
    found: list[tuple[str, str]] = []
    for item in items:
        if isinstance(item, str) or len(item) != 2:
            raise DataError(
                f"lexicon= holds {item!r}; expected a source word and a word of the target language"
            )
        word, translations = item
        listed = [translations] if isinstance(translations, str) else list(translations)
        found += [(str(word), str(translation)) for translation in listed]
    return found


def _pairs(items: Iterable[Any]) -> list[Any]:
    from franken.data.source import Pair

    found = []
    for item in items:
        if not isinstance(item, Pair):
            if isinstance(item, str) or len(item) not in (2, 3):
                raise DataError(
                    f"pairs= holds {item!r}; expected a source sentence and its translation, and, "
                    "where they are known, the links of their words"
                )
            source, target, *links = item
            item = Pair(source, target, tuple(map(tuple, links[0])) if links else None)
        found.append(item)
    return found
