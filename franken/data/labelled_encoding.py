"""Texts with labels as token ids, and the places of tokens that carry the labels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from franken.data.labelled import Labelled
from franken.parts.label_set import LabelledUnit

Span = tuple[int, int]


class Encoded(NamedTuple):
    """A text as ids; a place and a label (its place in ``Labelled.labels``) for each word."""

    ids: list[int]
    places: list[int]
    """Of a text's label 0: the first token."""
    words: list[int]
    """Which word each place stands for; words that were cut off have none."""


def encode(tokenizer: Any, text: Labelled, unit: LabelledUnit, longest: int) -> Encoded:
    """Ids with the tokenizer's own control tokens, cut to ``longest``.

    A word's label stands at its first token: the first one that reaches into the word, whatever
    the tokenizer makes of the blank in front of it (Devlin et al., 2019).
    """
    wants_words = unit is LabelledUnit.token
    found = tokenizer(
        text.text, truncation=True, max_length=longest, return_offsets_mapping=wants_words
    )
    if not wants_words:
        return Encoded(found["input_ids"], [0], [0])
    first = first_tokens(found["offset_mapping"], word_spans(text.words))
    kept = [(place, word) for word, place in enumerate(first) if place is not None]
    return Encoded(found["input_ids"], [place for place, _ in kept], [word for _, word in kept])


def word_spans(words: Sequence[str]) -> list[Span]:
    """Where words stand in the text that blanks join them to."""
    spans: list[Span] = []
    at = 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return spans


def first_tokens(offsets: Sequence[Span], words: Sequence[Span]) -> list[int | None]:
    """For each word the first token with a character of it; ``None`` where there is none.

    Args:
        offsets: of the tokens in the text, ascending; empty ones are control tokens.
        words: spans of the words, ascending.
    """
    found: list[int | None] = []
    place = 0
    for start, stop in words:
        while place < len(offsets) and offsets[place][1] <= start:
            place += 1
        inside = place < len(offsets) and offsets[place][0] < stop
        found.append(place if inside else None)
    return found
