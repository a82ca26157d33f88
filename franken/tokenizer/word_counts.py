"""Count the words of a text as a tokenizer's own normaliser and splits cut them.

A tokenizer's model sees one word at a time, so each distinct word need be encoded only once. Lines
that hold an added token are given apart, since such a token is cut out before anything else.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import empty_backend
from franken.tokenizer.pipeline import SPACE, Pipeline

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_GLUE = 100
"""More characters than this that a piece joins to a marker after them, and words are lines."""


@dataclass
class Counted:
    """A text as its distinct words."""

    words: Counter[str] = field(default_factory=Counter)
    """Normalised words with the number of times that the lines hold them."""
    apart: list[str] = field(default_factory=list)
    """Lines that hold an added token; their words are not among ``words``."""


class WordCounter:
    """Counts words under the rules of a pipeline.

    Attributes:
        whole: whether the words of a line put together are the normalised line.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._backend = empty_backend({**pipeline.spec, "post_processor": None})
        self._is_apart = _finder_of_added(pipeline, self._backend)
        self.whole = pipeline.kind is not TokenizerKind.byte_level_bpe and not _splits(pipeline)
        self._normalise = _normaliser_of(pipeline, self._backend)
        self._cut = _marker_words(pipeline) if self.whole else None

    def count(self, lines: Iterable[str]) -> Counted:
        """Count the words of lines."""
        found = Counted()
        plain = self._without_added(lines, found.apart)
        if self._cut is None:
            found.words = split_words(self._backend, plain)
            return found
        for line in plain:
            found.words.update(self._cut(self._normalise(line)))
        del found.words[""]
        return found

    def characters(self, counted: Counted) -> Counter[str]:
        """How often the normalised text holds each character; where it is ``whole``."""
        found: Counter[str] = Counter()
        for word, uses in counted.words.items():
            for char in word:
                found[char] += uses
        for line in counted.apart:
            found.update(self._normalise(line))
        if " " in found:  # as count_characters has it
            found[SPACE] += found.pop(" ")
        return found

    def _without_added(self, lines: Iterable[str], apart: list[str]) -> Iterator[str]:
        for line in lines:
            if self._is_apart(line):
                apart.append(line)
            else:
                yield line


def split_words(backend: "Tokenizer", lines: Iterable[str]) -> Counter[str]:
    """The words that normaliser and pre-tokeniser of a backend make of lines.

    The trainers of ``tokenizers`` count them on all cores and tell in what they are pickled to;
    where they do not, lines are split one by one.
    """
    from tokenizers import Tokenizer, models, trainers

    counting = Tokenizer(models.WordLevel())
    if backend.normalizer is not None:
        counting.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        counting.pre_tokenizer = backend.pre_tokenizer
    trainer = trainers.WordLevelTrainer(vocab_size=1, special_tokens=[], show_progress=False)
    if _told(trainer) is None:
        return split_one_by_one(backend, lines)
    counting.train_from_iterator(iter(lines), trainer=trainer)
    return Counter(_told(trainer) or {})


def split_one_by_one(backend: "Tokenizer", lines: Iterable[str]) -> Counter[str]:
    """:func:`split_words`, slowly."""
    normalizer, splitter = backend.normalizer, backend.pre_tokenizer
    words: Counter[str] = Counter()
    for line in lines:
        text = line if normalizer is None else normalizer.normalize_str(line)
        if splitter is None:
            words[text] += 1
        else:
            words.update(word for word, _ in splitter.pre_tokenize_str(text))
    return words


def _told(trainer: Any) -> dict[str, int] | None:
    """The words that a trainer has counted; none where its pickled form does not tell."""
    state = json.loads(trainer.__getstate__() or "{}")
    words = state.get("WordLevelTrainer", {}).get("words")
    return words if isinstance(words, dict) else None


def _splits(pipeline: Pipeline) -> bool:
    """Whether the pre-tokeniser does anything (Gemma's looks for spaces, and there are none)."""
    steps = pipeline.components("pre_tokenizer")
    spaceless = any(_replaces_spaces(step) for step in pipeline.components("normalizer"))
    looks_for_spaces = all(
        step["type"] == "Split" and step["pattern"] == {"String": " "} for step in steps
    )
    return bool(steps) and not (spaceless and looks_for_spaces)


def _replaces_spaces(step: dict[str, object]) -> bool:
    return step["type"] == "Replace" and step["pattern"] == {"String": " "}


def _normaliser_of(pipeline: Pipeline, backend: "Tokenizer") -> Callable[[str], str]:
    """The normaliser as a function; the steps of SentencePiece's BPE are written out."""
    normalizer, steps = backend.normalizer, pipeline.components("normalizer")
    if normalizer is None:
        return str
    plain = all(
        step["type"] == "Prepend" or (step["type"] == "Replace" and "String" in step["pattern"])
        for step in steps
    )
    if not plain:
        own: Callable[[str], str] = normalizer.normalize_str
        return own

    def normalise(text: str) -> str:
        for step in steps:
            if step["type"] == "Replace":
                text = text.replace(step["pattern"]["String"], step["content"])
            elif text:
                text = step["prepend"] + text
        return text

    return normalise


def _marker_words(pipeline: Pipeline) -> Callable[[str], list[str]]:
    """Cut a line before each run of markers, where no piece joins a character to the marker."""
    glue = {piece[at - 1] for piece in pipeline.pieces for at in _inner_markers(piece)}
    if len(glue) > MOST_GLUE or pipeline.spec["model"].get("ignore_merges"):
        return lambda text: [text]
    letters = re.escape("".join(sorted(glue)))
    joined = f"(?:(?<=[{letters}]){SPACE}+[^{SPACE}]*)*" if glue else ""
    return re.compile(f"{SPACE}*[^{SPACE}]*{joined}").findall


def _inner_markers(piece: str) -> Iterator[int]:
    at = piece.find(SPACE, 1)
    while at > 0:
        if piece[at - 1] != SPACE:
            yield at
        at = piece.find(SPACE, at + 1)


def _finder_of_added(pipeline: Pipeline, backend: "Tokenizer") -> Callable[[str], bool]:
    """Whether a line may hold an added token."""
    contents = sorted({token["content"] for token in pipeline.added if token["content"]})
    if not contents:
        return lambda line: False
    search = re.compile("|".join(map(re.escape, contents))).search
    normalizer = backend.normalizer
    if normalizer is None or not any(token["normalized"] for token in pipeline.added):
        return lambda line: search(line) is not None
    # Such a token is looked for in normalised text, in its own normalised form.
    forms = {normalizer.normalize_str(content) for content in contents} - {""}
    normalise = normalizer.normalize_str
    within = re.compile("|".join(map(re.escape, sorted(forms)))).search
    return lambda line: search(line) is not None or within(normalise(line)) is not None
