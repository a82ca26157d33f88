"""What a new vocabulary changes, measured on text."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from franken.config.base_model import TokenizerKind
from franken.tokenizer.pieces import Reading, overlap_of, text_of
from franken.tokenizer.pipeline import Pipeline, ReadOnlyKind
from franken.tokenizer.reachability import unreachable_pieces
from franken.tokenizer.sampling import encode_in_chunks, lines_of
from franken.tokenizer.splits import cut_words
from franken.tokenizer.types import VocabTexts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

EXAMPLES = 10
MEASURED_LINES = 2_000
"""Lines per language that the figures rest on."""
LOSSY_SHARE = 0.05
"""Share of a language's lines that may come back changed before the build warns."""
CUT_SHARE = 0.05
"""Share of a target's words that the split pattern may cut before the build warns."""
NO_GAIN = 0.98
"""Tokens of a target, of those that the base takes, from which a new vocabulary is worth little."""
NO_PROMISE = ("named", "original", "trim")
"""Options that are not there to take fewer tokens."""


def vocabulary_report(
    base: "PreTrainedTokenizerBase",
    new: "PreTrainedTokenizerBase",
    texts: VocabTexts,
    *,
    max_lines: int = MEASURED_LINES,
) -> dict[str, Any]:
    """Compare two tokenizers on the vocabulary itself and on text; the result is plain JSON."""
    readings = Reading.of(base), Reading.of(new)
    base_frame, pipeline = (reading.pipeline for reading in readings)
    overlap = overlap_of(*readings)
    comparison = _Comparison(base, new, base_frame, pipeline)
    languages, same = {}, 0.0
    for name, lines in [("source", texts.source), *sorted(texts.targets.items())]:
        measured = comparison.measure(islice(lines_of(lines()), max_lines))
        if measured.lines:
            languages[name] = measured.figures()
            same = measured.same / measured.lines if name == "source" else same
    unreachable = unreachable_pieces(new, _spelled_whole(pipeline), reading=readings[1])
    return {
        "size": {"base": base_frame.size, "new": pipeline.size},
        "kind": pipeline.kind.value,
        "overlap": {"tokens": len(overlap), "share": len(overlap) / max(1, pipeline.size)},
        "source_lines_identical": same,
        "languages": languages,
        "utilisation": {
            "used": int(comparison.used.sum()),
            "share": float(comparison.used.mean()) if pipeline.size else 0.0,
        },
        "unreachable": _examples(unreachable)
        | {"new": sum(piece not in base_frame.pieces for piece in unreachable)},
        "byte_only": _examples(_byte_only(readings[1])),
    }


def warn_of_lossy_text(option: str, languages: dict[str, Any]) -> None:
    """Warn of languages whose lines too often come back changed from encoding and decoding.

    Args:
        option: the vocabulary option.
        languages: that part of :func:`vocabulary_report`.
    """
    for language, figures in languages.items():
        failures = figures["round_trip_failures"]
        if failures["count"] > LOSSY_SHARE * figures["lines"]:
            logger.warning(
                "vocab=%s: %d of %d lines of %s do not come back from encoding and decoding (lower "
                "case, dropped accents, spaces), for example %r; a model over this tokenizer "
                "cannot write them, which caps scores of generated answers",
                option, failures["count"], figures["lines"], language, failures["examples"][0],
            )  # fmt: skip


def warn_of_targets(
    option: str, new: "PreTrainedTokenizerBase", texts: VocabTexts, languages: dict[str, Any]
) -> dict[str, Any]:
    """Warn of targets that the new vocabulary does not help.

    Args:
        option: the vocabulary option.
        new: the tokenizer that it built.
        texts: of all languages.
        languages: that part of :func:`vocabulary_report`.

    Returns:
        Share of each target's words that the split pattern cuts at a combining mark.
    """
    shares = {}
    for language, lines in sorted(texts.targets.items()):
        cut, words = cut_words(new.backend_tokenizer, lines_of(lines()))
        shares[language] = cut / max(1, words)
        if shares[language] > CUT_SHARE:
            logger.warning(
                "vocab=%s: the tokenizer's split pattern cuts %.0f %% of the words of %s at their "
                "vowel signs or accents (combining marks), whatever pieces there are; "
                "vocab.split=marks repairs it",
                option, 100 * shares[language], language,
            )  # fmt: skip
        figures = languages.get(language)
        if option not in NO_PROMISE and figures and figures["new_to_base"] > NO_GAIN:
            logger.warning(
                "vocab=%s: %s takes %.3f tokens per byte, and took %.3f with the base's vocabulary;"
                " try vocab=extension, a larger vocab.size or vocab.added, more text of the "
                "language, or vocab=original",
                option, language, figures["new"]["tokens_per_byte"],
                figures["base"]["tokens_per_byte"],
            )  # fmt: skip
    return shares


def _spelled_whole(pipeline: Pipeline) -> list[str]:
    """Normal pieces that are spelled as a text of their own; WordPiece's ``##piece`` is not."""
    if pipeline.kind is not ReadOnlyKind.wordpiece:
        return pipeline.normal()
    return [piece for piece in pipeline.normal() if not piece.startswith(pipeline.continuation)]


@dataclass
class _Measured:
    """Sums over the lines of one language."""

    lines: int = 0
    bytes: int = 0
    words: int = 0
    base_tokens: int = 0
    new_tokens: int = 0
    byte_tokens: int = 0
    same: int = 0
    failures: int = 0
    failed: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Ratios by line, word and byte."""
        ratios: dict[str, Any] = {"lines": self.lines}
        for name, tokens in (("base", self.base_tokens), ("new", self.new_tokens)):
            ratios[name] = {
                "tokens_per_line": tokens / self.lines,
                "tokens_per_word": tokens / max(1, self.words),
                "tokens_per_byte": tokens / max(1, self.bytes),
            }
        ratios["new_to_base"] = self.new_tokens / max(1, self.base_tokens)
        ratios["byte_tokens_share"] = self.byte_tokens / max(1, self.new_tokens)
        ratios["lines_identical"] = self.same / self.lines
        ratios["round_trip_failures"] = {"count": self.failures, "examples": self.failed}
        return ratios


class _Comparison:
    """Encodes lines with both tokenizers and adds up the differences."""

    def __init__(
        self,
        base: "PreTrainedTokenizerBase",
        new: "PreTrainedTokenizerBase",
        base_frame: Pipeline,
        pipeline: Pipeline,
    ) -> None:
        self._base, self._new = base.backend_tokenizer, new.backend_tokenizer
        self._same_piece = np.full(base_frame.size, -1, dtype=np.int64)
        for piece, index in base_frame.pieces.items():
            self._same_piece[index] = pipeline.pieces.get(piece, -1)
        self._is_byte = np.zeros(pipeline.size, dtype=bool)
        if pipeline.kind is not TokenizerKind.byte_level_bpe:
            self._is_byte[[pipeline.pieces[piece] for piece in pipeline.byte_pieces()]] = True
        self.used = np.zeros(pipeline.size, dtype=bool)

    def measure(self, lines: Iterable[str]) -> _Measured:
        measured = _Measured()
        for chunk, encodings in encode_in_chunks(self._new, lines):
            before = self._base.encode_batch_fast(chunk, add_special_tokens=False)
            ids = [encoding.ids for encoding in encodings]
            decoded = self._new.decode_batch(ids, skip_special_tokens=False)
            for line, old, new, text in zip(chunk, before, ids, decoded, strict=True):
                self._add(measured, line, np.asarray(old.ids, np.int64), np.asarray(new, np.int64))
                if text != line:
                    measured.failures += 1
                    if len(measured.failed) < EXAMPLES:
                        measured.failed.append(line)
        return measured

    def _add(self, measured: _Measured, line: str, old: np.ndarray, new: np.ndarray) -> None:
        measured.lines += 1
        measured.bytes += len(line.encode())
        measured.words += len(line.split())
        measured.base_tokens += len(old)
        measured.new_tokens += len(new)
        measured.byte_tokens += int(self._is_byte[new].sum())
        measured.same += bool(np.array_equal(self._same_piece[old], new))
        self.used[new] = True


def _byte_only(reading: Reading) -> list[str]:
    """Pieces longer than one byte that are no complete text."""
    pipeline, table = reading.pipeline, reading.bytes
    found = []
    for piece in pipeline.normal():
        data = table[pipeline.pieces[piece]]
        if data is not None and len(data) > 1 and text_of(data) is None:
            found.append(piece)
    return found


def _examples(pieces: list[str]) -> dict[str, Any]:
    return {"count": len(pieces), "examples": pieces[:EXAMPLES]}
