"""What a new vocabulary changes, measured on text (spec 2.2: the report artefact)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from franken.config.base_model import TokenizerKind
from franken.vocab.frame import Frame, frame_of
from franken.vocab.pieces import canonical_bytes_of, special_ids, vocabulary_overlap
from franken.vocab.reach import is_reachable
from franken.vocab.sampling import encode_in_chunks, lines_of
from franken.vocab.types import VocabTexts

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

EXAMPLES = 10
MEASURED_LINES = 20_000
"""Lines per language that the figures rest on."""


def vocabulary_report(
    base: "PreTrainedTokenizerBase",
    new: "PreTrainedTokenizerBase",
    texts: VocabTexts,
    *,
    max_lines: int = MEASURED_LINES,
) -> dict[str, Any]:
    """Compare two tokenizers on the vocabulary itself and on text; the result is plain JSON."""
    base_frame, frame = frame_of(base), frame_of(new)
    overlap = vocabulary_overlap(base, new)
    used = np.zeros(frame.size, dtype=np.int64)
    languages, same = {}, 0.0
    for name, lines in [("source", texts.source), *sorted(texts.targets.items())]:
        measured = _compare(base, new, islice(lines_of(lines()), max_lines), used)
        if measured.lines:
            languages[name] = measured.figures()
            same = measured.same / measured.lines if name == "source" else same
    normal = frame.normal()
    return {
        "size": {"base": base_frame.size, "new": frame.size},
        "kind": frame.kind.value,
        "overlap": {"tokens": len(overlap), "share": len(overlap) / max(1, frame.size)},
        "source_lines_identical": same,
        "languages": languages,
        "utilisation": {
            "used": int(np.count_nonzero(used)),
            "share": float(np.count_nonzero(used)) / max(1, frame.size),
        },
        "unreachable": _examples(unreachable_pieces(new, frame, normal)),
        "byte_only": _examples(_byte_only(new, frame)),
    }


def unreachable_pieces(
    tokenizer: "PreTrainedTokenizerBase", frame: Frame, pieces: Iterable[str]
) -> list[str]:
    """Pieces that no text can produce."""
    model = tokenizer.backend_tokenizer.model
    return [piece for piece in pieces if not is_reachable(model, piece)]


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


def _compare(
    base: "PreTrainedTokenizerBase",
    new: "PreTrainedTokenizerBase",
    lines: Iterable[str],
    used: np.ndarray,
) -> _Measured:
    measured = _Measured()
    frame = frame_of(new)
    byte_ids = (
        set()
        if frame.kind is TokenizerKind.byte_level_bpe
        else {frame.pieces[piece] for piece in frame.byte_pieces()}
    )
    for chunk, encodings in encode_in_chunks(new.backend_tokenizer, lines):
        before = base.backend_tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
        decoded = new.backend_tokenizer.decode_batch(
            [encoding.ids for encoding in encodings], skip_special_tokens=False
        )
        for line, old, encoding, text in zip(chunk, before, encodings, decoded, strict=True):
            _add(measured, line, old, encoding, byte_ids)
            if text != line:
                measured.failures += 1
                if len(measured.failed) < EXAMPLES:
                    measured.failed.append(line)
        np.add.at(used, [index for encoding in encodings for index in encoding.ids], 1)
    return measured


def _add(
    measured: _Measured, line: str, old: "Encoding", encoding: "Encoding", byte_ids: set[int]
) -> None:
    measured.lines += 1
    measured.bytes += len(line.encode())
    measured.words += len(line.split())
    measured.base_tokens += len(old.ids)
    measured.new_tokens += len(encoding.ids)
    measured.byte_tokens += sum(index in byte_ids for index in encoding.ids)
    measured.same += old.tokens == encoding.tokens


def _byte_only(tokenizer: "PreTrainedTokenizerBase", frame: Frame) -> list[str]:
    """Pieces longer than one byte that are no complete text."""
    table = canonical_bytes_of(frame, special_ids(tokenizer, frame=frame))
    found = []
    for piece in frame.normal():
        data = table[frame.pieces[piece]]
        if data is not None and len(data) > 1:
            try:
                data.decode()
            except UnicodeDecodeError:
                found.append(piece)
    return found


def _examples(pieces: list[str]) -> dict[str, Any]:
    return {"count": len(pieces), "examples": pieces[:EXAMPLES]}
