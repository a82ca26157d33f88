"""Learn new pieces from text under the rules of an existing pipeline.

The normaliser and the pre-tokeniser are those of the pipeline. SentencePiece-style pipelines often
have no pre-tokeniser at all (Gemma) because their pieces never cross words; for them the rules that
SentencePiece applies in training are added while learning: a word with its marker, a digit, a
run of symbols.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import regex

from franken.config.base_model import TokenizerKind
from franken.tokenizer.pipeline import SPACE, Pipeline, ReadOnlyKind, byte_to_char
from franken.tokenizer.sampling import Lines, lines_of
from franken.tokenizer.unigram import SEEDS_PER_PIECE, train_unigram
from franken.tokenizer.wordpiece import learn_wordpiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer

CHARACTER_COVERAGE = 0.9998
"""Share of each language's characters that get pieces of their own; the rest is left to bytes.

A vocabulary without bytes covers them all, since what it lacks is lost.
"""
LONGEST_PIECE = 32
"""In characters; SentencePiece's own limit of 16 cuts long agglutinated words."""
GAP = "\ufdd0"
"""Stands for a character without a piece: no Unicode character, and no piece may cross it."""

WORDS = "▁?[\\p{L}\\p{M}\u200c\u200d]+|@DIGITS@|▁?[^▁\\p{L}\\p{M}\\p{N}]+|▁"
"""What a piece may not cross: a word with its joiners, digits, a run of symbols."""


@dataclass
class Learned:
    """What a trainer found."""

    alphabet: list[str]
    """Single characters, most frequent first; empty for byte-level BPE."""
    pieces: list[str]
    """Longer pieces, best first."""
    merges: list[tuple[str, str]] = field(default_factory=list)
    """BPE merges in the order in which they were learned."""
    scores: dict[str, float] = field(default_factory=dict)
    """Unigram log probabilities of alphabet and pieces."""

    def with_characters(self, characters: Iterable[str]) -> "Learned":
        """The same with more characters in the alphabet, the rarest of all."""
        more = [char for char in dict.fromkeys(characters) if char not in self.alphabet]
        floor = min(self.scores.values(), default=0.0)
        scores = self.scores | dict.fromkeys(more, floor) if self.scores else {}
        return Learned([*self.alphabet, *more], self.pieces, self.merges, scores)


def learn_pieces(pipeline: Pipeline, streams: Mapping[str, Lines], count: int) -> Learned:
    """Learn an alphabet and the best pieces, about ``count`` in all.

    Args:
        pipeline: Gives kind, normaliser and pre-tokeniser.
        streams: Lines per language; each language has its own character coverage.
        count: Alphabet and longer pieces together; fewer come back where the text is short.

    Returns:
        Equal results for equal text, in any process and with any number of threads.
    """
    if pipeline.kind is ReadOnlyKind.wordpiece:
        plain = _untrained(pipeline, pipeline.spec.get("pre_tokenizer"))
        return Learned(*learn_wordpiece(plain, pipeline, streams, count, LONGEST_PIECE))
    backend = training_backend(pipeline)
    # Not the one of `backend`: the trainer locks it while it reads the lines that need this one.
    normalizer = training_backend(pipeline).normalizer
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        every_line = (line for texts in streams.values() for line in lines_of(texts()))
        merges = _learn_merges(backend, every_line, byte_to_char().values(), count)
        return Learned([], _results(merges), merges)
    alphabet = find_alphabet(
        normalizer, streams, coverage=CHARACTER_COVERAGE if pipeline.has_bytes else 1.0
    )[: count // 2 if pipeline.has_bytes else count]
    lines, room = _without_rare(normalizer, streams, set(alphabet)), count - len(alphabet)
    if pipeline.kind is TokenizerKind.sentencepiece_bpe:
        merges = _learn_merges(backend, lines, alphabet, room)
        return Learned(alphabet, _results(merges), merges)
    seeds = _results(_learn_merges(backend, lines, alphabet, SEEDS_PER_PIECE * room))
    words = _count_words(backend, _without_rare(normalizer, streams, set(alphabet)))
    scores = train_unigram(words, alphabet, seeds, room)
    letters = set(alphabet)
    pieces = sorted(scores.keys() - letters, key=lambda piece: (-scores[piece], piece))
    return Learned(alphabet, pieces, scores=scores)


def training_backend(pipeline: Pipeline) -> "Tokenizer":
    """An empty tokenizer with the pipeline's normaliser, and its splits made safe for training."""
    splits = pipeline.components("pre_tokenizer")
    if pipeline.kind is not TokenizerKind.byte_level_bpe:
        digits = r"▁?\p{N}+" if has_multi_digit_pieces(pipeline) else r"\p{N}"
        splits = [
            *splits,
            _split({"String": GAP}, "Removed"),
            _split({"Regex": WORDS.replace("@DIGITS@", digits)}, "Isolated"),
        ]
    return _untrained(pipeline, {"type": "Sequence", "pretokenizers": splits} if splits else None)


def _untrained(pipeline: Pipeline, pre_tokenizer: dict[str, Any] | None) -> "Tokenizer":
    """A BPE tokenizer without pieces, with the pipeline's normaliser and the splits given."""
    from tokenizers import Tokenizer

    spec: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": pipeline.spec.get("normalizer"),
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    }
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def has_multi_digit_pieces(pipeline: Pipeline) -> bool:
    """Whether any piece joins digits, the only trace of SentencePiece's ``split_digits``."""
    digits = regex.compile(rf"{SPACE}?\p{{N}}{{2,}}|{SPACE}\p{{N}}")
    return any(digits.fullmatch(piece) for piece in pipeline.normal())


def find_alphabet(
    normalizer: "Normalizer | None",
    streams: Mapping[str, Lines],
    *,
    coverage: float = CHARACTER_COVERAGE,
) -> list[str]:
    """The characters that make ``coverage`` of each language, most frequent first."""
    return alphabet_of((count_characters(normalizer, t) for t in streams.values()), coverage)


def alphabet_of(languages: Iterable[Counter[str]], coverage: float) -> list[str]:
    """:func:`find_alphabet` of counted characters, those of each language apart."""
    total: Counter[str] = Counter()
    covered: set[str] = set()
    for counts in languages:
        missing = (1.0 - coverage) * counts.total()
        ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]))
        rare: set[str] = set()
        for char, count in ranked:
            missing -= count
            if missing < 0:
                break
            rare.add(char)
        covered |= counts.keys() - rare
        total.update(counts)
    return sorted(covered, key=lambda char: (-total[char], char))


def count_characters(normalizer: "Normalizer | None", texts: Lines) -> Counter[str]:
    """How often the normalised lines of a text hold each character."""
    counts: Counter[str] = Counter()
    for line in lines_of(texts()):
        counts.update(line if normalizer is None else normalizer.normalize_str(line))
    if " " in counts:  # a Metaspace pre-tokeniser writes the marker after normalisation
        counts[SPACE] += counts.pop(" ")
    return counts


def _without_rare(
    normalizer: "Normalizer | None", streams: Mapping[str, Lines], alphabet: set[str]
) -> Iterator[str]:
    replaced: dict[int, str] = {}
    kept = set(map(ord, alphabet)) | {ord(" "), ord(SPACE)}
    for texts in streams.values():
        for line in lines_of(texts()):
            codes = set(map(ord, line))
            for code in codes - kept - replaced.keys():
                char = chr(code)
                known = normalizer is not None and set(normalizer.normalize_str(char)) <= alphabet
                if known:
                    kept.add(code)
                else:
                    replaced[code] = GAP
            yield line.translate(replaced) if codes & replaced.keys() else line


def _learn_merges(
    backend: "Tokenizer", lines: Iterable[str], letters: Iterable[str], count: int
) -> list[tuple[str, str]]:
    from tokenizers import models, trainers

    letters = sorted(letters)
    byte_level = "Ġ" in letters
    backend.model = models.BPE()
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + count,
        min_frequency=2,
        initial_alphabet=letters,
        special_tokens=[],
        max_token_length=None if byte_level else LONGEST_PIECE,
        show_progress=False,
    )
    backend.train_from_iterator(lines, trainer=trainer)
    return [(left, right) for left, right in json.loads(backend.to_str())["model"]["merges"]]


def _results(merges: Iterable[tuple[str, str]]) -> list[str]:
    """What the merges make, in their order, each once."""
    return list(dict.fromkeys(left + right for left, right in merges))


def _count_words(backend: "Tokenizer", lines: Iterable[str]) -> Counter[str]:
    words: Counter[str] = Counter()
    normalizer, splitter = backend.normalizer, backend.pre_tokenizer
    for line in lines:
        text = line if normalizer is None else normalizer.normalize_str(line)
        words.update(word for word, _ in splitter.pre_tokenize_str(text))
    return words


def _split(pattern: dict[str, str], behavior: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": False}
