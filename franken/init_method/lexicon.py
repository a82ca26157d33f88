"""Mean of the source rows of a word's dictionary translations.

A piece that is a whole word of the lexicon, with or without its leading space, takes the mean over
the word's translations; each translation is the mean of the source rows of its own subtokens,
encoded with the same leading space (or none). The simplest semantic initialiser: it needs a
dictionary and nothing else.
"""

import logging
from collections import Counter

from transformers import PreTrainedTokenizerBase

from franken.config.init_method import LexiconInit
from franken.errors import DataError
from franken.init_method.builder import MapBuilder
from franken.init_method.dictionary import Dictionary
from franken.init_method.fallback import build_with_fallback
from franken.init_method.resources import InitResources
from franken.init_method.token_map import TokenMap
from franken.parts.table import Table

logger = logging.getLogger(__name__)

Meanings = list[tuple[str, float]]
"""Source words with positive weights."""


def fit(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: LexiconInit,
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
            f"{', '.join(sorted(resources.lexicons)) or 'any target language'}. Choose data with "
            "the role lexicon, or another init_method such as subtoken_mean"
        )
    builder = MapBuilder(source, target, config, seed)
    if not config.lexicon_first:
        builder.copy_overlap()
    found = {row: hit for row in builder.undecided() if (hit := _look_up(builder, dictionary, row))}
    rules = _put_translations(builder, found)
    builder.copy_overlap()
    builder.notes["lexicon"] = {
        "entries": {language: len(resources.lexicons[language]) for language in resources.lexicons},
        "rows_by_rule": dict(sorted(rules.items())),
        "overlap_in_lexicon": _false_friends(builder, dictionary),
    }
    if not rules:
        logger.warning(
            "init_method=lexicon: none of %d entries is a piece of the target vocabulary; all rows "
            "outside the overlap follow fallback=%s",
            len(dictionary),
            config.fallback,
        )
    return build_with_fallback(builder, config.fallback)


def _look_up(
    builder: MapBuilder, dictionary: Dictionary, row: int
) -> tuple[str, bool, Meanings] | None:
    """Which rule knows the piece, whether it begins a word, and what it means."""
    parsed = _word_of(builder.target_bytes[row])
    if parsed is None:
        return None
    word, initial = parsed
    config = builder.config
    assert isinstance(config, LexiconInit)
    if not initial and len(word) < config.internal_min_chars:
        return None
    if sources := dictionary.exact(word):
        return "exact", initial, _equally(sources)
    if sources := dictionary.recased(word):
        return "recased", initial, _equally(sources)
    if not initial:
        return None
    if config.stem_min_chars and (sources := dictionary.stem(word, config.stem_min_chars)):
        return "stem", initial, _equally(sources)
    if 0 < config.prefix_min_chars <= len(word) and (meanings := dictionary.beginnings(word)):
        return "prefix", initial, meanings
    return None


def _put_translations(
    builder: MapBuilder, found: dict[int, tuple[str, bool, Meanings]]
) -> Counter[str]:
    """Weights of the rows that were found; returns how many by which rule."""
    texts = {
        _text(word, initial) for _, initial, meanings in found.values() for word, _ in meanings
    }
    ordered = sorted(texts)
    encoded = dict(zip(ordered, builder.encode(ordered), strict=True))
    rules: Counter[str] = Counter()
    for row, (rule, initial, meanings) in found.items():
        parts = [(encoded[_text(word, initial)], share) for word, share in meanings]
        parts = [(ids, share) for ids, share in parts if ids]
        total = sum(share for _, share in parts)
        if total:
            indices = [index for ids, _ in parts for index in ids]
            weights = [share / total / len(ids) for ids, share in parts for _ in ids]
            builder.put(row, indices, weights)
            rules[rule] += 1
    return rules


def _false_friends(builder: MapBuilder, dictionary: Dictionary) -> int:
    """Shared pieces that are also words of the lexicon (Indonesian ``air`` is water)."""
    words = (_word_of(builder.target_bytes[row]) for row in builder.overlap)
    return sum(bool(dictionary.exact(word)) for word, initial in filter(None, words) if initial)


def _word_of(data: bytes | None) -> tuple[str, bool] | None:
    """The word of a piece and whether a space leads it; ``None`` where it is no word."""
    try:
        text = (data or b"").decode()
    except UnicodeDecodeError:
        return None
    initial = text.startswith(" ")
    word = text[1:] if initial else text
    return (word, initial) if word and word == word.strip() else None


def _text(word: str, initial: bool) -> bytes:
    return f" {word}".encode() if initial else word.encode()


def _equally(sources: list[str]) -> Meanings:
    return [(word, 1.0) for word in sources]
