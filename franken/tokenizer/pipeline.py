"""A tokenizer taken apart: the pipeline that stays, and the pieces that an option replaces.

Everything is read from the tokenizer's own ``tokenizer.json`` form, nothing is assumed from the
name of its class: transformers may rebuild a class from vocabulary and merges with other rules.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

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


@dataclass
class Pipeline:
    """What a tokenizer is made of, with plain names instead of nested JSON."""

    kind: Kind
    spec: dict[str, Any]
    """``tokenizer.json`` without vocabulary, merges and added tokens: normaliser and the like."""
    pieces: dict[str, int]
    """Every piece, special and added ones included, with its id."""
    merges: list[tuple[str, str]] = field(default_factory=list)
    """BPE merges, best first; empty for Unigram."""
    scores: dict[str, float] = field(default_factory=dict)
    """Unigram log probabilities; empty for BPE."""
    added: list[dict[str, Any]] = field(default_factory=list)
    """Added tokens as in ``tokenizer.json``: ``id``, ``content``, ``special`` and match flags."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Arguments of ``PreTrainedTokenizerFast``: special roles, chat template, padding side."""

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
            if (len(piece) == 1 and piece.isascii()) or not piece.strip(f"{SPACE}\n\t\rĠĊĉč")
        ]

    def components(self, part: str) -> list[dict[str, Any]]:
        """The steps of ``normalizer``, ``pre_tokenizer``, ``decoder`` as a flat list."""
        return list(_flatten(self.spec.get(part)))


def pipeline_of(tokenizer: "PreTrainedTokenizerBase") -> Pipeline:
    """Take a fast tokenizer apart.

    Raises:
        CompatibilityError: If it has no ``tokenizers`` backend or is of no supported kind.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CompatibilityError(
            f"{type(tokenizer).__name__} has no `tokenizers` backend, so its pieces cannot be "
            "read; convert it to a fast tokenizer (tokenizer.json) first"
        )
    spec = json.loads(backend.to_str())
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
    return Pipeline(kind, spec, pieces, merges, scores, added, _settings_of(tokenizer))


def editable_pipeline_of(tokenizer: "PreTrainedTokenizerBase", purpose: str) -> Pipeline:
    """:func:`pipeline_of` a tokenizer that must be of a kind that franken trains and edits.

    Args:
        tokenizer: any fast one.
        purpose: what it is to serve as, to begin the fault with.

    Raises:
        CompatibilityError: also where its pieces can only be read.
    """
    pipeline = pipeline_of(tokenizer)
    refuse_read_only(pipeline, purpose)
    return pipeline


def refuse_read_only(pipeline: Pipeline, purpose: str) -> None:
    """``CompatibilityError`` where the pieces can only be read."""
    if isinstance(pipeline.kind, ReadOnlyKind):
        raise CompatibilityError(
            f"{purpose}: the tokenizer is WordPiece (BERT, ELECTRA), which drops spaces and often "
            "case and accents. franken trains a new one over it (vocab=scratch) or takes a "
            "finished one (vocab=from_pretrained) and edits none; here it needs a BPE or Unigram "
            "tokenizer (XLM-R, mT5, GPT, Llama, ...)"
        )


def kind_of_spec(spec: dict[str, Any]) -> Kind:
    """Tell the kind of a tokenizer from its ``tokenizer.json`` form."""
    model_type = spec["model"].get("type")
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


def build(pipeline: Pipeline) -> "PreTrainedTokenizerFast":
    """Put a pipeline together again.

    The class is the plain ``PreTrainedTokenizerFast``, so that every loader takes
    ``tokenizer.json`` as it stands, whatever ``model_type`` a neighbouring ``config.json`` names.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(json.dumps(spec_of(pipeline), ensure_ascii=False))
    # The class takes a deep copy of what it is given, which nobody else has, for half of the time.
    setattr(backend, "__deepcopy__", lambda memo: backend)  # noqa: B010 - no attribute of the stub
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **pipeline.settings)
    delattr(backend, "__deepcopy__")
    return tokenizer


def spec_of(pipeline: Pipeline) -> dict[str, Any]:
    """The complete ``tokenizer.json`` form of a pipeline, in time linear in its pieces."""
    model = dict(pipeline.spec["model"])
    if pipeline.kind is TokenizerKind.sentencepiece_unigram:
        unk, floor = pipeline.unk, min(pipeline.scores.values(), default=0.0)
        # The list has no holes: an id without a piece gets one that no text can hold.
        vocab: list[list[Any]] = [[f"\ufdd1{index}", floor] for index in range(pipeline.size)]
        for piece, index in pipeline.pieces.items():
            vocab[index] = [piece, pipeline.scores.get(piece, floor)]
        model["vocab"] = vocab
        model["unk_id"] = None if unk is None else pipeline.pieces[unk]
    else:
        # Added tokens may only be left out of the model where they follow it without a gap.
        tail = _tail(pipeline)
        inside = {p: i for p, i in pipeline.pieces.items() if i not in tail}
        model["vocab"] = dict(sorted(inside.items(), key=lambda item: item[1]))
        if pipeline.is_bpe:
            model["merges"] = pipeline.merges
    added = [{**token, "id": pipeline.pieces[token["content"]]} for token in pipeline.added]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        **{part: pipeline.spec.get(part) for part in ("normalizer", "pre_tokenizer")},
        "post_processor": _with_ids(pipeline.spec.get("post_processor"), pipeline.pieces),
        "decoder": pipeline.spec.get("decoder"),
        "model": model,
    }


@cache
def byte_to_char() -> dict[int, str]:
    """The printable letter that byte-level BPE writes for each byte (as GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + rank) for rank, byte in enumerate(others)}
    return dict(sorted(letters.items()))


def _tail(pipeline: Pipeline) -> set[int]:
    """Ids of the unbroken run of added tokens at the end, for byte-level BPE (as in Llama 3)."""
    if pipeline.kind is not TokenizerKind.byte_level_bpe:
        return set()
    ids = {pipeline.pieces[token["content"]] for token in pipeline.added}
    tail, index = set(), pipeline.size - 1
    while index in ids:
        tail.add(index)
        index -= 1
    holes = index + 1 - (len(pipeline.pieces) - len(tail))
    return set() if holes else tail


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


def _with_ids(part: Any, pieces: dict[str, int]) -> Any:
    """A post-processor whose special tokens carry the ids of ``pieces``."""
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], pieces.get(part[0], part[1])]
        return [_with_ids(item, pieces) for item in part]
    if not isinstance(part, dict):
        return part
    if "tokens" in part and "ids" in part:
        ids = [
            pieces.get(token, old) for token, old in zip(part["tokens"], part["ids"], strict=True)
        ]
        return {**part, "ids": ids}
    return {key: _with_ids(value, pieces) for key, value in part.items()}


def _settings_of(tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
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
