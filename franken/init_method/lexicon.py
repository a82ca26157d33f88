"""Mean of the source rows of a word's dictionary translations.

A piece that is a whole word of the lexicon, with or without its leading space, takes the mean over
the word's translations; each translation is the mean of the source rows of its own subtokens. A
translation is spelled like the piece (leading space or none, capital or not), unless the source
breaks that spelling into more subtokens than the plain one: ``▁house`` means more than ``ho`` and
``use``. The simplest semantic initialiser: it needs a dictionary and nothing else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.dictionary import Dictionary, in_case_of
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.tokenizer.pieces import text_of

logger = logging.getLogger(__name__)

Meanings = list[tuple[str, float]]

"""Source words with positive weights."""


@option
class LexiconInit(InitMethod):
    """Mean of the source rows of a word's dictionary translations; needs the role lexicon."""

    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the lexicon does not know."""
    prefix_min_chars: int = 0
    """When > 0, a word-initial piece of at least so many characters that no entry equals takes the
    mean of the entries it begins (stems of inflected words), each weighted by the share of its
    letters that the piece has; 0 means exact entries only."""
    stem_min_chars: int = 0
    """When > 0, a word-initial piece that no entry equals takes the longest entry of at least so
    many characters that begins it (inflected forms of listed words); tried before
    prefix_min_chars."""
    internal_min_chars: int = 3
    """Pieces without a leading space count as words from this length on: shorter ones are mostly
    parts of words. 1 suits scripts that write no spaces."""
    lexicon_first: bool = False
    """Whether shared pieces that are words of the lexicon take their translation instead of their
    copy. Indonesian "air" (water) gains, and English "air" loses its row."""

    def needs(self) -> frozenset[str]:
        return frozenset({"lexicon"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("prefix_min_chars", self.prefix_min_chars, 0)
        yield from at_least("stem_min_chars", self.stem_min_chars, 0)
        yield from at_least("internal_min_chars", self.internal_min_chars, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: where there is no lexicon entry at all.
        """
        dictionary = Dictionary(resources.lexicons)
        if not len(dictionary):
            raise DataError(
                "init_method=lexicon needs a lexicon; the data has none for "
                f"{', '.join(resources.languages) or 'any target language'}. Choose data with "
                "the role lexicon, or another init_method such as subtoken_mean"
            )
        languages = [
            *resources.languages,
            *sorted(set(resources.lexicons) - {*resources.languages}),
        ]
        entries = {language: len(resources.lexicons.get(language, ())) for language in languages}
        if without := [language for language, count in entries.items() if not count]:
            logger.warning(
                "init_method=lexicon: no lexicon for %s; pieces that only they have follow "
                "fallback=%s",
                ", ".join(without),
                self.fallback,
            )
        builder = MapBuilder(source, target, self, seed)
        if not self.lexicon_first:
            builder.copy_overlap()
        found = {
            row: hit for row in builder.undecided() if (hit := _look_up(builder, dictionary, row))
        }
        rules = _put_translations(builder, found)
        builder.copy_overlap()
        builder.notes["lexicon"] = {
            "entries": entries,
            "rows_by_rule": dict(sorted(rules.items())),
            "overlap_in_lexicon": _false_friends(builder, dictionary),
        }
        if not rules:
            logger.warning(
                "init_method=lexicon: none of %d entries is a piece of the target vocabulary; all "
                "rows outside the overlap follow fallback=%s",
                len(dictionary),
                self.fallback,
            )
        return builder.build_with_fallback(self.fallback)


class Hit(NamedTuple):
    """What the dictionary says about one piece."""

    rule: str
    word: str
    initial: bool
    """Whether a space leads the piece."""
    meanings: Meanings


def _look_up(builder: MapBuilder, dictionary: Dictionary, row: int) -> Hit | None:
    """Ask by one rule after the other."""
    parsed = _word_of(builder.target_bytes[row])
    if parsed is None:
        return None
    word, initial = parsed
    config = builder.config
    assert isinstance(config, LexiconInit)
    if not initial and len(word) < config.internal_min_chars:
        return None
    if sources := dictionary.exact(word):
        return Hit("exact", word, initial, _equally(sources))
    if config.copy_overlap and row in builder.overlap:
        return None  # lexicon_first: guesses below an exact entry do not outdo a copy
    if sources := dictionary.recased(word):
        return Hit("recased", word, initial, _equally(sources))
    if not initial:
        return None
    if config.stem_min_chars and (sources := dictionary.stem(word, config.stem_min_chars)):
        return Hit("stem", word, initial, _equally(sources))
    if 0 < config.prefix_min_chars <= len(word) and (meanings := dictionary.beginnings(word)):
        return Hit("prefix", word, initial, meanings)
    return None


def _put_translations(builder: MapBuilder, found: dict[int, Hit]) -> Counter[str]:
    """Weights of the rows that were found; returns how many by which rule."""
    texts = sorted(
        {
            text
            for hit in found.values()
            for word, _ in hit.meanings
            for text in _spellings(hit, word)
        }
    )
    encoded = dict(zip(texts, builder.encode(texts), strict=True))
    rules: Counter[str] = Counter()
    for row, hit in found.items():
        parts = []
        for word, share in hit.meanings:
            options = [ids for text in _spellings(hit, word) if (ids := encoded[text])]
            if options:
                parts.append((min(options, key=len), share))
        total = sum(share for _, share in parts)
        if total:
            indices = [index for ids, _ in parts for index in ids]
            weights = [share / total / len(ids) for ids, share in parts for _ in ids]
            if set(indices) == {builder.overlap.get(row)}:
                continue  # a word that is its own translation stays a copy
            builder.put(row, indices, weights)
            rules[hit.rule] += 1
    return rules


def _false_friends(builder: MapBuilder, dictionary: Dictionary) -> int:
    """Shared pieces that are also words of the lexicon (Indonesian ``air`` is water)."""
    words = (_word_of(builder.target_bytes[row]) for row in builder.overlap)
    return sum(bool(dictionary.exact(word)) for word, initial in filter(None, words) if initial)


def _word_of(data: bytes | None) -> tuple[str, bool] | None:
    """The word of a piece and whether a space leads it; ``None`` where it is no word."""
    text = text_of(data) or ""
    initial = text.startswith(" ")
    word = text[1:] if initial else text
    return (word, initial) if word and word == word.strip() else None


def _spellings(hit: Hit, word: str) -> list[bytes]:
    """How a source word may be written for this piece, the closest first."""
    forms = dict.fromkeys((in_case_of(hit.word, word), word))
    spaces = (" ",) if hit.initial else ("", " ")
    return [f"{space}{form}".encode() for space in spaces for form in forms]


def _equally(sources: list[str]) -> Meanings:
    return [(word, 1.0) for word in sources]
