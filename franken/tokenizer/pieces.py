"""Pieces of any tokenizer as bytes, the one form in which vocabularies can be compared.

Raw strings of byte-level BPE (``"Ã©"``) never equal those of SentencePiece (``"é"``), and decoding
to text folds every incomplete UTF-8 piece into U+FFFD. So pieces are compared as bytes and bytes
that are no text stay bytes.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import added_token, backend_of, empty_backend, spec_of
from franken.tokenizer.pipeline import (
    BYTE_PIECE,
    SPACE,
    Pipeline,
    ReadOnlyKind,
    byte_to_char,
    pipeline_of,
    read_once,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

ROLE_RANK = ("bos", "eos", "unk", "pad", "cls", "sep", "mask")
"""When roles share a token, the earlier role decides its partner."""


@dataclass(frozen=True)
class Reading:
    """A tokenizer taken apart once, for all that is asked of its pieces."""

    pipeline: Pipeline
    special: set[int]
    """Ids that stand for no text."""
    roles: dict[str, int]
    """Ids of the special tokens by role."""
    bytes: "list[bytes | None]"
    """:func:`canonical_bytes`."""

    @staticmethod
    def of(tokenizer: "PreTrainedTokenizerBase") -> "Reading":
        """Read a tokenizer."""
        return read_once(tokenizer, "reading", _read)


def _read(tokenizer: "PreTrainedTokenizerBase") -> Reading:
    pipeline = pipeline_of(tokenizer)
    special = special_ids(tokenizer, pipeline=pipeline)
    table = canonical_bytes_of(pipeline, special)
    return Reading(pipeline, special, special_roles(tokenizer), table)


def canonical_bytes(tokenizer: "PreTrainedTokenizerBase") -> list[bytes | None]:
    """The bytes that each token stands for, by token id.

    Returns:
        One entry per id up to the highest: a leading ``b" "`` for the word-start marker, single
        bytes for byte pieces, ``None`` for special tokens, the unknown token and unused ids. Every
        WordPiece piece without ``##`` begins a word, punctuation included.
    """
    return Reading.of(tokenizer).bytes


def canonical_bytes_of(pipeline: Pipeline, special: set[int]) -> list[bytes | None]:
    """:func:`canonical_bytes` of a tokenizer that was taken apart before."""
    outside = _literal_tokens(pipeline)
    table: list[bytes | None] = [None] * pipeline.size
    # What piece_bytes does, written out: it takes seconds for hundreds of thousands of pieces.
    spelled = pipeline.kind is TokenizerKind.byte_level_bpe or not pipeline.has_bytes
    for piece, index in pipeline.pieces.items():
        if index in special:
            continue
        if piece in outside:
            table[index] = piece.encode()
        elif spelled or piece.startswith("<0x"):
            table[index] = piece_bytes(pipeline, piece)
        else:
            table[index] = piece.replace(SPACE, " ").encode()
    return table


def piece_bytes(pipeline: Pipeline, piece: str) -> bytes:
    """The bytes of one piece of the model (not of an added token)."""
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        try:
            return piece.translate(_to_latin()).encode("latin-1")
        except UnicodeEncodeError:  # not spelled in the letters of bytes
            return piece.encode()
    if pipeline.kind is ReadOnlyKind.wordpiece:
        inner = piece.removeprefix(pipeline.continuation)
        return inner.encode() if inner and inner != piece else f" {piece}".encode()
    if pipeline.has_bytes and (match := BYTE_PIECE.fullmatch(piece)):
        return bytes([int(match[1], 16)])
    return piece.replace(SPACE, " ").encode()


def special_roles(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """Ids of the special tokens by role: ``{"bos": 2, "eos": 1, "pad": 0, "unk": 3}``."""
    roles = {}
    for name, token in tokenizer.special_tokens_map.items():
        index = tokenizer.convert_tokens_to_ids(str(token))
        if isinstance(index, int):
            roles[name.removesuffix("_token")] = index
    return roles


def text_of(data: bytes | None) -> str | None:
    """The text that a piece's bytes are; ``None`` where it has none or they are no whole UTF-8."""
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return None


def label_of(data: bytes | None, name: str) -> str:
    """A piece for people: ``▁house``, ``<0xE3>``, ``<bos>``; ``""`` where there is no token."""
    if data is None:
        return name
    text = text_of(data) or ""
    if not text or not text.isprintable() or (name[:1] == "<" and BYTE_PIECE.fullmatch(name)):
        return "".join(f"<0x{byte:02X}>" for byte in data)
    return f"▁{text[1:]}" if text.startswith(" ") else text


def special_ids(
    tokenizer: "PreTrainedTokenizerBase", *, pipeline: Pipeline | None = None
) -> set[int]:
    """Ids of all tokens that stand for no text: control tokens and the unknown token.

    ``pipeline`` saves taking the tokenizer apart once more.
    """
    pipeline = pipeline or pipeline_of(tokenizer)
    ids = {token["id"] for token in pipeline.added if token["special"]}
    ids |= set(special_roles(tokenizer).values())
    ids |= {index for index in tokenizer.all_special_ids if index is not None}
    return ids if pipeline.unk is None else ids | {pipeline.pieces[pipeline.unk]}


def vocabulary_overlap(
    source: "PreTrainedTokenizerBase", target: "PreTrainedTokenizerBase"
) -> dict[int, int]:
    """Tokens that both vocabularies have: target id -> source id.

    Special tokens match by role, then by their string; all others by their bytes. Where several
    source pieces stand for the same bytes (``"A"`` and ``<0x41>``), the one of the same sort wins,
    then the lowest id. The ``A`` of byte-level BPE is a letter: text is written with it.
    """
    return overlap_of(Reading.of(source), Reading.of(target))


def overlap_of(source: Reading, target: Reading) -> dict[int, int]:
    """:func:`vocabulary_overlap` of tokenizers that were read before."""
    source_frame, target_frame = source.pipeline, target.pipeline
    byte_ids = [_byte_ids(pipeline) for pipeline in (source_frame, target_frame)]
    # One dictionary for pieces and one for byte tokens, the lowest id of each.
    pieces: dict[bytes, int] = {}
    single: dict[bytes, int] = {}
    for index, data in enumerate(source.bytes):
        if data is not None:
            (single if index in byte_ids[0] else pieces).setdefault(data, index)

    overlap: dict[int, int] = {}
    for index, data in enumerate(target.bytes):
        if data is None:
            continue
        first, second = (single, pieces) if index in byte_ids[1] else (pieces, single)
        found = first.get(data)
        if found is None:
            found = second.get(data)
        if found is not None:
            overlap[index] = found
    source_names = {p: i for p, i in source_frame.pieces.items() if i in source.special}
    target_names = {p: i for p, i in target_frame.pieces.items() if i in target.special}
    overlap |= {i: source_names[p] for p, i in target_names.items() if p in source_names}
    overlap |= _overlap_by_role(source.roles, target.roles)
    return dict(sorted(overlap.items()))


def _byte_ids(pipeline: Pipeline) -> set[int]:
    """Ids of single bytes that are no letters: all ``<0x41>``, of byte-level BPE those from 128."""
    names = pipeline.byte_pieces()
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        letters = {char for byte, char in byte_to_char().items() if byte < 128}
        names = [name for name in names if name not in letters]
    return {pipeline.pieces[name] for name in names}


def encode_piece(tokenizer: "PreTrainedTokenizerBase", data: bytes) -> list[int]:
    """Encode bytes as the tokenizer would inside a running text.

    No bos and no automatic dummy prefix are added, a leading space is kept, and the text of a
    special token is plain text. Bytes that are not UTF-8 become byte tokens (the unknown token
    where the vocabulary has no bytes). A text without a leading space goes on inside a word, which
    WordPiece spells with ``##``; where it has no such pieces, the text begins a word.
    """
    return encode_pieces(tokenizer, [data])[0]


def encode_pieces(
    tokenizer: "PreTrainedTokenizerBase",
    batch: Sequence[bytes],
    *,
    reading: "Reading | None" = None,
) -> list[list[int]]:
    """:func:`encode_piece` for many pieces at once, in parallel where the backend can.

    ``reading``: of the tokenizer, where it was read before.
    """
    known = _ENCODERS.get(tokenizer)
    if known is None or known[0] != len(tokenizer):
        reading = reading or Reading.of(tokenizer)
        encoder = PieceEncoder(tokenizer, reading)
        known = _ENCODERS[tokenizer] = (len(tokenizer), encoder)
    return known[1].encode(batch)


_BATCH = 16384


class PieceEncoder:
    """A tokenizer without its special tokens, dummy prefix and post-processor."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", reading: Reading) -> None:
        self._pipeline = pipeline = reading.pipeline
        hidden = {
            piece: f"\ufdd0{index}"
            for piece, index in pipeline.pieces.items()
            if index in reading.special
        }
        shared = _around_the_model_of(tokenizer, pipeline, hidden)
        self._backend = shared or backend_of(spec_of(_bare(pipeline, hidden)))
        self._unk = None if pipeline.unk is None else pipeline.pieces[pipeline.unk]

    def encode(self, batch: Sequence[bytes]) -> list[list[int]]:
        """Token ids of each piece."""
        # The backend's records take hundreds of bytes per piece, so only some exist at a time.
        starts = range(0, len(batch), _BATCH)
        return [ids for start in starts for ids in self._encode(batch[start : start + _BATCH])]

    def _encode(self, batch: Sequence[bytes]) -> list[list[int]]:
        texts = [text_of(data) for data in batch]
        encoded = iter(self._texts([text for text in texts if text]))
        return [
            next(encoded) if text else self._mixed(data)
            for text, data in zip(texts, batch, strict=True)
        ]

    def _mixed(self, data: bytes) -> list[int]:
        """Ids of bytes that are no whole UTF-8."""
        ids: list[int] = []
        for part in self._parts(data):
            ids += self._texts([part])[0] if isinstance(part, str) else self._raw(part)
        return ids

    def _texts(self, texts: list[str]) -> list[list[int]]:
        found = [
            encoding.ids
            for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)
        ]
        if self._pipeline.kind is not ReadOnlyKind.wordpiece:
            return found
        return [
            ids if text[:1].isspace() else self._continued(text) or ids
            for text, ids in zip(texts, found, strict=True)
        ]

    def _continued(self, text: str) -> list[int]:
        """WordPiece ids of a text whose first letters are inside a word; none: it has no such."""
        normalizer, splitter = self._backend.normalizer, self._backend.pre_tokenizer
        plain = text if normalizer is None else normalizer.normalize_str(text)
        words = [word for word, _ in splitter.pre_tokenize_str(plain)] if splitter else [plain]
        pieces, prefix, ids = self._pipeline.pieces, self._pipeline.continuation, []
        rest = words[0] if words else ""
        while rest:
            ends = range(len(rest), 0, -1)
            end = next((end for end in ends if f"{prefix}{rest[:end]}" in pieces), 0)
            if end == 0:
                return []
            ids.append(pieces[f"{prefix}{rest[:end]}"])
            rest = rest[end:]
        for word in words[1:]:
            ids += self._backend.encode(word, add_special_tokens=False).ids
        return ids

    def _parts(self, data: bytes) -> Iterator[str | bytes]:
        """Runs of text and runs of bytes that are no text."""
        if not data or self._pipeline.kind is TokenizerKind.byte_level_bpe:
            yield data
            return
        run, is_raw = "", False
        for char in data.decode(errors="surrogateescape"):
            raw = "\ud800" <= char <= "\udfff"
            if run and raw != is_raw:
                yield run.encode(errors="surrogateescape") if is_raw else run
                run = ""
            run, is_raw = run + char, raw
        yield run.encode(errors="surrogateescape") if is_raw else run

    def _raw(self, data: bytes) -> list[int]:
        if self._pipeline.kind is TokenizerKind.byte_level_bpe:
            letters = byte_to_char()
            text = "".join(letters[byte] for byte in data)
            return [token.id for token in self._backend.model.tokenize(text)]
        if self._pipeline.has_bytes:
            return [self._pipeline.pieces[f"<0x{byte:02X}>"] for byte in data]
        return [] if self._unk is None else [self._unk]


_ENCODERS: WeakKeyDictionary[Any, tuple[int, PieceEncoder]] = WeakKeyDictionary()
"""Encoders already built, dropped together with their tokenizers."""


def _bare(pipeline: Pipeline, hidden: Mapping[str, str]) -> Pipeline:
    """The pipeline without anything that adds, strips or reserves text."""
    return Pipeline(
        kind=pipeline.kind,
        spec=_bare_rules(pipeline, hidden),
        pieces={hidden.get(piece, piece): index for piece, index in pipeline.pieces.items()},
        merges=pipeline.merges,
        scores={hidden.get(piece, piece): score for piece, score in pipeline.scores.items()},
        added=[token for token in pipeline.added if token["content"] not in hidden],
    )


def _bare_rules(pipeline: Pipeline, hidden: Mapping[str, str]) -> dict[str, Any]:
    unk = pipeline.unk
    spec = copy.deepcopy(pipeline.spec)
    spec["post_processor"] = None
    if unk is not None and "unk_token" in spec["model"]:
        spec["model"]["unk_token"] = hidden.get(unk, unk)
    adds = {"Prepend", "Strip"}
    steps = [step for step in pipeline.components("normalizer") if step["type"] not in adds]
    spec["normalizer"] = {"type": "Sequence", "normalizers": steps} if steps else None
    splits = pipeline.components("pre_tokenizer")
    if any(step["type"] == "Metaspace" for step in splits):
        # Metaspace splits at spaces itself, and after this step no space would reach it.
        splits = [step for step in splits if step["type"] not in ("WhitespaceSplit", "Whitespace")]
    spec["pre_tokenizer"] = (
        {"type": "Sequence", "pretokenizers": [_without_prefix(step) for step in splits]}
        if splits
        else None
    )
    return spec


def _around_the_model_of(
    tokenizer: "PreTrainedTokenizerBase", pipeline: Pipeline, hidden: Mapping[str, str]
) -> "Tokenizer | None":
    """The backend of :func:`_bare` with the tokenizer's own model inside, where that will do.

    It will where BPE never makes the hidden pieces out of their text, and where added tokens that
    the model lacks get their ids. To build the model anew takes a second.
    """
    rules = pipeline.spec["model"]
    if not pipeline.is_bpe or rules.get("ignore_merges") or rules.get("dropout"):
        return None
    model = tokenizer.backend_tokenizer.model
    # What its own text does not yield, no longer text does.
    own = ([token.id for token in model.tokenize(piece)] for piece in hidden)
    if any(ids == [pipeline.pieces[piece]] for piece, ids in zip(hidden, own, strict=True)):
        return None
    backend = empty_backend(_bare_rules(pipeline, hidden))
    backend.model = model
    inside = backend.get_vocab_size()
    kept = [
        {**token, "content": hidden.get(token["content"], token["content"])}
        for token in sorted(pipeline.added, key=lambda token: token["id"])
        if token["content"] not in hidden or token["id"] >= inside
    ]
    backend.add_tokens([added_token(token) for token in kept])
    right = all(backend.token_to_id(token["content"]) == token["id"] for token in kept)
    return backend if right else None


def _without_prefix(step: dict[str, Any]) -> dict[str, Any]:
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    return step


def _literal_tokens(pipeline: Pipeline) -> set[str]:
    """Added tokens whose content is plain text, not a piece in the spelling of the model."""
    contents = {token["content"] for token in pipeline.added}
    if pipeline.kind is TokenizerKind.byte_level_bpe:
        return contents
    # Gemma lists pieces such as "▁▁" among the added tokens: they mean spaces.
    return {content for content in contents if SPACE not in content}


def _overlap_by_role(source: dict[str, int], target: dict[str, int]) -> dict[int, int]:
    """Target id -> source id of shared roles; the most important role of a token is set last."""
    known = [role for role in ROLE_RANK if role in target]
    others = sorted(set(target) - set(known))
    shared = [role for role in reversed(known + others) if role in source]
    return {target[role]: source[role] for role in shared}


@cache
def _to_latin() -> dict[int, str]:
    """The letters of byte-level BPE as characters below 256, and no other characters there."""
    letters = {ord(char): chr(byte) for byte, char in byte_to_char().items()}
    return dict.fromkeys(range(256), "\uffff") | letters
