"""A tokenizer taken apart: the pipeline that stays, and the pieces that an option replaces.

Everything is read from the tokenizer's own ``tokenizer.json`` form, nothing is assumed from the
name of its class: transformers may rebuild a class from vocabulary and merges with other rules.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.parts.tokenizer_json import parted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPACE = "\u2581"
"""The word-start marker of SentencePiece."""
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
IDLE_NAME = re.compile(
    r"[<\[|｜]+(?:unused|reserved|dummy|place.?holder)[^<>]*?\d+[>\]|｜]+", re.IGNORECASE
)
"""Tokens kept for later use: ``<unused7>``, ``[unused7]``, ``<|reserved_special_token_7|>``."""
BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))


class ReadOnlyKind(StrEnum):
    """Families of tokenizers whose pieces are read and trained anew, but not edited."""

    wordpiece = "wordpiece"
    """BERT, ELECTRA: a piece begins a word unless it is spelled ``##piece``."""


Kind = TokenizerKind | ReadOnlyKind
_WRITTEN = "_written_merges"


@dataclass
class Pipeline:
    """What a tokenizer is made of, with plain names instead of nested JSON."""

    kind: Kind
    spec: dict[str, Any]
    """``tokenizer.json`` without vocabulary, merges and added tokens: normaliser and the like."""
    pieces: dict[str, int]
    """Every piece, special and added ones included, with its id."""
    merges: list[tuple[str, str]] = field(default_factory=list)
    """BPE merges, best first; empty for Unigram. What :func:`pipeline_of` found is parsed when it
    is first asked for."""
    scores: dict[str, float] = field(default_factory=dict)
    """Unigram log probabilities; empty for BPE."""
    added: list[dict[str, Any]] = field(default_factory=list)
    """Added tokens as in ``tokenizer.json``: ``id``, ``content``, ``special`` and match flags."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``PreTrainedTokenizerFast``: special roles, chat template, padding side."""

    def __getattr__(self, name: str) -> Any:
        """The merges that :meth:`_put_off` left as JSON."""
        written = vars(self).pop(_WRITTEN, None) if name == "merges" else None
        if written is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self.merges = [(left, right) for left, right in json.loads(written)]
        return self.merges

    def _put_off(self, merges: bytes) -> None:
        """Take the merges from their JSON once they are asked for."""
        del self.merges
        vars(self)[_WRITTEN] = merges

    @property
    def size(self) -> int:
        """Number of rows that a table for this tokenizer needs: highest id + 1."""
        return max(self.pieces.values(), default=-1) + 1

    @property
    def unk(self) -> str | None:
        """The piece for what cannot be encoded."""
        model: dict[str, Any] = self.spec["model"]
        if self.kind is not TokenizerKind.sentencepiece_unigram:
            named: str | None = model.get("unk_token")
            return named
        unk_id = model.get("unk_id")
        return next((p for p, i in self.pieces.items() if i == unk_id), None)

    @property
    def is_bpe(self) -> bool:
        """Whether pieces come about by merges."""
        return self.kind in (TokenizerKind.byte_level_bpe, TokenizerKind.sentencepiece_bpe)

    @property
    def continuation(self) -> str:
        """What WordPiece spells before pieces that do not begin a word."""
        prefix: str = self.spec["model"].get("continuing_subword_prefix", "##")
        return prefix

    @property
    def has_bytes(self) -> bool:
        """Whether any text can be encoded, byte by byte if need be."""
        if self.kind is TokenizerKind.byte_level_bpe:
            return True
        return bool(self.spec["model"].get("byte_fallback")) and BYTE_PIECES[0] in self.pieces

    def byte_pieces(self) -> list[str]:
        """The pieces of single bytes: ``<0x00>`` ... or the 256 letters of byte-level BPE."""
        if self.kind is TokenizerKind.byte_level_bpe:
            return [char for char in byte_to_char().values() if char in self.pieces]
        return [piece for piece in BYTE_PIECES if piece in self.pieces] if self.has_bytes else []

    def reserved(self) -> dict[int, str]:
        """Pieces whose ids never move: control, user-defined, unknown and byte pieces."""
        names = {token["content"] for token in self.added} | set(self.byte_pieces())
        if self.unk is not None:
            names.add(self.unk)
        return {self.pieces[name]: name for name in names if name in self.pieces}

    def idle(self) -> list[str]:
        """Added tokens that stand for nothing, by their names, in the order of their ids."""
        roles = {str(name) for name in self.settings.values() if isinstance(name, str)}
        names = [token["content"] for token in self.added if IDLE_NAME.fullmatch(token["content"])]
        return sorted(set(names) - roles, key=self.pieces.__getitem__)

    def without(self, added: Iterable[str]) -> "Pipeline":
        """The pipeline without some of its added tokens; all other ids stay."""
        gone = set(added)
        extra = self.settings.get("extra_special_tokens")
        settings = dict(self.settings)
        if extra:
            settings["extra_special_tokens"] = [name for name in extra if name not in gone]
        return replace(
            self,
            pieces={piece: index for piece, index in self.pieces.items() if piece not in gone},
            added=[token for token in self.added if token["content"] not in gone],
            settings=settings,
        )

    def normal(self) -> list[str]:
        """All other pieces in the order of their ids."""
        reserved = self.reserved()
        in_order = sorted(self.pieces.items(), key=lambda item: item[1])
        return [piece for piece, index in in_order if index not in reserved]

    def essentials(self) -> list[str]:
        """Normal pieces for any language: ASCII characters, digits, runs of white space."""
        return [
            piece
            for piece in self.normal()
            if (len(piece) == 1 and piece.isascii())
            or not piece.strip(f"{SPACE}\n\t\rĠĊĉč")
            or self._inner_ascii(piece)
        ]

    def letters(self, piece: str) -> list[str]:
        """WordPiece: the pieces of single letters that a piece falls apart into where it is gone.

        A word some letter of which has none becomes unknown as a whole.
        """
        inner = piece.startswith(self.continuation)
        text = piece.removeprefix(self.continuation)
        return [
            char if place == 0 and not inner else self.continuation + char
            for place, char in enumerate(text)
        ]

    def _inner_ascii(self, piece: str) -> bool:
        if self.kind is not ReadOnlyKind.wordpiece or not piece.startswith(self.continuation):
            return False
        text = piece.removeprefix(self.continuation)
        return len(text) == 1 and text.isascii()

    def components(self, part: str) -> list[dict[str, Any]]:
        """The steps of ``normalizer``, ``pre_tokenizer``, ``decoder`` as a flat list."""
        return list(_flatten(self.spec.get(part)))


def pipeline_of(tokenizer: "PreTrainedTokenizerBase") -> Pipeline:
    """Take a fast tokenizer apart.

    Raises:
        CompatibilityError: If it has no ``tokenizers`` backend or is of no supported kind.
    """
    return read_once(tokenizer, "pipeline", _taken_apart)


def _taken_apart(tokenizer: "PreTrainedTokenizerBase") -> Pipeline:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CompatibilityError(
            f"{type(tokenizer).__name__} has no `tokenizers` backend, so its pieces cannot be "
            "read; convert it to a fast tokenizer (tokenizer.json) first"
        )
    spec, written = parted(backend.to_str())
    kind = kind_of_spec(spec)
    model, added = spec["model"], spec.pop("added_tokens")
    vocab, scores = model["vocab"], {}
    if isinstance(vocab, list):
        pieces = {piece: index for index, (piece, _) in enumerate(vocab)}
        scores = {piece: float(score) for piece, score in vocab}
        model["vocab"] = []
    else:
        pieces = dict(vocab)
        model["vocab"] = {}
    pieces |= {token["content"]: token["id"] for token in added}
    merges = [_pair(merge) for merge in model.get("merges", ())]
    if "merges" in model:
        model["merges"] = []
    found = Pipeline(kind, spec, pieces, merges, scores, added, settings_of(tokenizer))
    if written:
        found._put_off(written)
    return found


@contextmanager
def reading_once() -> Iterator[None]:
    """Take each tokenizer apart at most once in the block, where none may change meanwhile."""
    if _READ.get() is not None:
        yield
        return
    token = _READ.set(WeakKeyDictionary())
    try:
        yield
    finally:
        _READ.reset(token)


def remember(tokenizer: "PreTrainedTokenizerBase", pipeline: Pipeline) -> None:
    """Let :func:`pipeline_of` give ``pipeline`` for the rest of :func:`reading_once`."""
    if (known := _READ.get()) is not None:
        known[tokenizer] = {"pipeline": pipeline}


def read_once(
    tokenizer: "PreTrainedTokenizerBase",
    what: str,
    read: "Callable[[PreTrainedTokenizerBase], _Read]",
) -> "_Read":
    """What ``read`` finds in a tokenizer: in a block of :func:`reading_once`, the first time's.

    Args:
        tokenizer: any.
        what: names the finding; nobody may change it.
        read: finds it.
    """
    known = _READ.get()
    if known is None:
        return read(tokenizer)
    found = known.setdefault(tokenizer, {})
    if what not in found:
        found[what] = read(tokenizer)
    result: _Read = found[what]
    return result


_Read = TypeVar("_Read")
_READ: ContextVar["WeakKeyDictionary[Any, dict[str, Any]] | None"] = ContextVar(
    "_READ", default=None
)


def editable_pipeline_of(
    tokenizer: "PreTrainedTokenizerBase", purpose: str, *, wordpiece: bool = False
) -> Pipeline:
    """:func:`pipeline_of` a tokenizer that must be of a kind that franken trains and edits.

    Args:
        tokenizer: any fast one.
        purpose: what it is to serve as, to begin the fault with.
        wordpiece: whether WordPiece will do, too.

    Raises:
        CompatibilityError: also where its pieces can only be read.
    """
    pipeline = pipeline_of(tokenizer)
    refuse_uneditable(pipeline, purpose, wordpiece=wordpiece)
    return pipeline


def refuse_uneditable(pipeline: Pipeline, purpose: str, *, wordpiece: bool = False) -> None:
    """``CompatibilityError`` where pieces cannot be learnt on top of the tokenizer's own.

    ``wordpiece``: whether the purpose takes WordPiece, too.
    """
    if not wordpiece:
        refuse_read_only(pipeline, purpose)
    if drawn := pipeline.spec["model"].get("dropout"):
        raise CompatibilityError(
            f"{purpose}: the tokenizer's BPE leaves out merges at random (dropout {drawn}), so the "
            "same text is cut in another way each time; set model.dropout to null in tokenizer.json"
        )
    # Backends come so where ids have gaps (findings/tokenizers_shared_id.sh).
    if len(set(pipeline.pieces.values())) < len(pipeline.pieces):
        names: dict[int, list[str]] = {}
        for piece, index in pipeline.pieces.items():
            names.setdefault(index, []).append(piece)
        index, pieces = next((i, found) for i, found in names.items() if len(found) > 1)
        raise CompatibilityError(
            f"{purpose}: {len(pipeline.pieces) - len(names)} ids of the tokenizer mean two pieces "
            f"each, {index} both {pieces[0]!r} and {pieces[1]!r} (an added token took the id of a "
            "piece); give each piece an id of its own in tokenizer.json"
        )


def refuse_read_only(pipeline: Pipeline, purpose: str) -> None:
    """``CompatibilityError`` where the pieces can only be read."""
    if isinstance(pipeline.kind, ReadOnlyKind):
        raise CompatibilityError(
            f"{purpose}: the tokenizer is WordPiece (BERT, ELECTRA), which drops spaces and often "
            "case and accents. franken trains a new one over it (vocab=scratch), makes it longer "
            "(vocab=extension), replaces pieces (vocab=prune_extend), trims it (vocab=trim) or "
            "takes a finished one (vocab=from_pretrained); here it needs a "
            "BPE or Unigram tokenizer (XLM-R, mT5, GPT, Llama, ...)"
        )


def kind_of_spec(spec: dict[str, Any]) -> Kind:
    """Tell the kind of a tokenizer from its ``tokenizer.json`` form."""
    model_type = spec["model"].get("type")
    marks = [spec["model"].get(n) for n in ("continuing_subword_prefix", "end_of_word_suffix")]
    if model_type == "BPE" and any(marks):
        raise CompatibilityError(
            "the tokenizer's BPE marks where a piece stands in its word "
            f"({marks[0] or marks[1]!r}, as CLIP and GPT-1 do), which is of no supported kind; "
            f"supported are {', '.join([*TokenizerKind, *ReadOnlyKind])}"
        )
    parts = {
        step.get("type"): step
        for part in ("normalizer", "pre_tokenizer", "decoder")
        for step in _flatten(spec.get(part))
    }
    marks_spaces = SPACE in json.dumps(
        [spec.get("normalizer"), spec.get("pre_tokenizer"), spec.get("decoder")],
        ensure_ascii=False,
    )
    if model_type == "Unigram":
        return TokenizerKind.sentencepiece_unigram
    if model_type == "BPE" and "ByteLevel" in parts:
        return TokenizerKind.byte_level_bpe
    if model_type == "BPE" and marks_spaces:
        return TokenizerKind.sentencepiece_bpe
    if model_type == "WordPiece":
        return ReadOnlyKind.wordpiece
    raise CompatibilityError(
        f"a tokenizer of model type {model_type!r} with steps {sorted(map(str, parts))} is of no "
        f"supported kind; supported are {', '.join([*TokenizerKind, *ReadOnlyKind])}"
    )


@cache
def byte_to_char() -> dict[int, str]:
    """The printable letter that byte-level BPE writes for each byte (as GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + rank) for rank, byte in enumerate(others)}
    return dict(sorted(letters.items()))


def _flatten(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if step is None:
        return
    for name in ("normalizers", "pretokenizers", "decoders", "processors"):
        if name in step:
            for inner in step[name]:
                yield from _flatten(inner)
            return
    yield step


def _pair(merge: str | Iterable[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def settings_of(tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """Special roles, chat template, padding side: the arguments of ``PreTrainedTokenizerFast``."""
    settings: dict[str, Any] = dict(tokenizer.special_tokens_map)
    if tokenizer.extra_special_tokens:
        settings["extra_special_tokens"] = list(map(str, tokenizer.extra_special_tokens))
    settings["model_max_length"] = tokenizer.model_max_length
    settings["padding_side"] = tokenizer.padding_side
    settings["model_input_names"] = list(tokenizer.model_input_names)
    settings["clean_up_tokenization_spaces"] = tokenizer.clean_up_tokenization_spaces
    if tokenizer.chat_template is not None:
        settings["chat_template"] = tokenizer.chat_template
    return settings
