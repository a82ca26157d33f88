"""The kinds of tokenizers that franken trains: pipelines of Gemma, Llama and XLM-R style."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.errors import ConfigError, DataError
from franken.tokenizer.compose import all_splits, compose, special_token
from franken.tokenizer.learn import learn_pieces
from franken.tokenizer.pipeline import (
    BYTE_PIECES,
    SPACE,
    Kind,
    Pipeline,
    byte_to_char,
    kind_of_spec,
)
from franken.tokenizer.sampling import Lines

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

WORD_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Llama 3's split, with combining marks as letters (its own breaks Indic words at every vowel
sign) and single digits."""


ALWAYS_KNOWN = "\n0123456789"
"""Characters that get pieces of their own even where the text lacks them."""


@dataclass(frozen=True)
class SpecialTokens:
    """Control tokens of a trained tokenizer; their ids follow this order."""

    pad: str = "<pad>"
    eos: str = "<eos>"
    bos: str = "<bos>"
    unk: str = "<unk>"
    """Left out of byte-level BPE, which knows every text."""
    others: tuple[str, ...] = ("<start_of_turn>", "<end_of_turn>")
    unused: int = 8
    """Number of ``<unusedN>`` tokens for later use."""
    mask: str | None = None
    """Of a masked language model; bos and eos are then cls and sep too, and stand around texts."""

    @classmethod
    def of_encoder(cls) -> "SpecialTokens":
        """XLM-R's names."""
        return cls("<pad>", "</s>", "<s>", "<unk>", (), 0, "<mask>")

    def names(self, kind: TokenizerKind) -> list[str]:
        """All tokens in the order of their ids."""
        unk = [] if kind is TokenizerKind.byte_level_bpe else [self.unk]
        unused = [f"<unused{number}>" for number in range(self.unused)]
        mask = [] if self.mask is None else [self.mask]
        return [self.pad, self.eos, self.bos, *unk, *mask, *self.others, *unused]


def family_of(tokenizer: "PreTrainedTokenizerBase") -> Kind:
    """Tell the kind of a tokenizer from its components.

    Raises:
        CompatibilityError: If it is of none of the kinds that franken reads.
    """
    from franken.tokenizer.pipeline import pipeline_of

    return pipeline_of(tokenizer).kind


def train_tokenizer(
    kind: TokenizerKind,
    texts: Iterable[str] | Lines | Mapping[str, Lines],
    size: int,
    *,
    specials: SpecialTokens | None = None,
    dummy_prefix: bool = False,
) -> "PreTrainedTokenizerFast":
    """Train the tokenizer of a base model.

    Args:
        kind: Gemma-style SentencePiece BPE, XLM-R-style Unigram with byte fallback, or byte-level
            BPE with Llama 3's split.
        texts: Texts of one or more lines each: an iterable (kept in memory, since they are
            read twice), a function that opens them anew, or one such function per language.
        size: Most tokens that the vocabulary may have, special and byte tokens included. Fewer
            come out where the text is short.
        specials: Control tokens; Gemma's names by default.
        dummy_prefix: Whether a text begins with the word-start marker (Llama 2), or not (Gemma).
            Not for byte-level BPE.

    Returns:
        A tokenizer that adds bos, loads anywhere as ``PreTrainedTokenizerFast``, and is equal for
        equal text.
    """
    specials = specials or SpecialTokens()
    pipeline = _empty_pipeline(kind, specials, dummy_prefix=dummy_prefix)
    room = size - len(pipeline.pieces)
    if room < 1:
        raise ConfigError(
            f"tokenizer.size: {size} tokens leave no room beside {len(pipeline.pieces)} special "
            "and byte tokens; raise the size"
        )
    learned = learn_pieces(pipeline, _streams(texts), room)
    if kind is not TokenizerKind.byte_level_bpe:
        learned = learned.with_characters(ALWAYS_KNOWN)
    if not learned.pieces:
        raise DataError(
            "texts: nothing to train a tokenizer on, no two characters occur together twice; give "
            "more text"
        )
    if kind is TokenizerKind.byte_level_bpe:
        pieces = learned.pieces[:room]
        ids = byte_to_char().values()
        order = [*ids, *pieces, *(token["content"] for token in pipeline.added)]
        fixed = {order.index(name): name for name in pipeline.pieces}
        return compose(pipeline, pieces, learned.merges, {}, reserved=fixed)
    pieces = learned.pieces[: room - len(learned.alphabet)]
    known = {*pieces, *learned.alphabet}
    scores = learned.scores | dict.fromkeys(pipeline.pieces, _below(learned.scores))
    return compose(pipeline, [*pieces, *learned.alphabet], all_splits(pieces, known), scores)


def _streams(texts: Iterable[str] | Lines | Mapping[str, Lines]) -> Mapping[str, Lines]:
    if isinstance(texts, Mapping):
        return texts
    if isinstance(texts, Callable):  # type: ignore[arg-type]
        return {"": texts}  # type: ignore[dict-item]
    kept = list(texts)  # type: ignore[arg-type]
    return {"": lambda: kept}


def _below(scores: Mapping[str, float]) -> float:
    """A score no text would choose: byte pieces must not match their own spelling in a text."""
    return min(scores.values(), default=0.0) - 10.0


def _empty_pipeline(
    kind: TokenizerKind, specials: SpecialTokens, *, dummy_prefix: bool
) -> Pipeline:
    names = specials.names(kind)
    byte_level = kind is TokenizerKind.byte_level_bpe
    bytes_first = [*byte_to_char().values(), *names]
    order = bytes_first if byte_level else [*names, *BYTE_PIECES]
    pieces = {piece: index for index, piece in enumerate(order)}
    bos, eos = specials.bos, specials.eos
    spec: dict[str, Any] = {
        **(_byte_level_steps() if byte_level else _sentencepiece_steps(dummy_prefix)),
        "post_processor": _template(specials, pieces, with_bytes=byte_level),
        "model": _empty_model(kind, specials, pieces),
    }
    return Pipeline(
        kind=kind_of_spec(spec),
        spec=spec,
        pieces=pieces,
        added=[special_token(name) for name in names],
        scores=dict.fromkeys(pieces, -100.0),
        settings={
            "bos_token": bos,
            "eos_token": eos,
            "pad_token": specials.pad,
            **({} if byte_level else {"unk_token": specials.unk}),
            **_encoder_roles(specials),
            "extra_special_tokens": list(specials.others),
            "padding_side": "left" if specials.mask is None else "right",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
    )


def _empty_model(
    kind: TokenizerKind, specials: SpecialTokens, pieces: Mapping[str, int]
) -> dict[str, Any]:
    if kind is TokenizerKind.sentencepiece_unigram:
        unk_id = pieces[specials.unk]
        return {"type": "Unigram", "unk_id": unk_id, "vocab": [], "byte_fallback": True}
    byte_level = kind is TokenizerKind.byte_level_bpe
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None if byte_level else specials.unk,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": not byte_level,
        "byte_fallback": not byte_level,
        "ignore_merges": False,
        "vocab": {},
        "merges": [],
    }


def _sentencepiece_steps(dummy_prefix: bool) -> dict[str, Any]:
    marker: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    text: dict[str, Any] = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    decoders = [text, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if dummy_prefix:
        prefix = {"type": "Prepend", "prepend": SPACE}
        marker = {"type": "Sequence", "normalizers": [prefix, marker]}
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": marker,
        # Pieces never cross a marker, so this changes no result; short words are cached.
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": SPACE},
            "behavior": "MergedWithNext",
            "invert": False,
        },
        "decoder": {"type": "Sequence", "decoders": decoders},
    }


def _byte_level_steps() -> dict[str, Any]:
    words = {
        "type": "Split",
        "pattern": {"Regex": WORD_PATTERN},
        "behavior": "Isolated",
        "invert": False,
    }
    letters = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [words, letters]},
        "decoder": letters,
    }


def _encoder_roles(specials: SpecialTokens) -> dict[str, str]:
    if specials.mask is None:
        return {}
    return {
        "mask_token": specials.mask, "cls_token": specials.bos, "sep_token": specials.eos
    }  # fmt: skip


def _template(
    specials: SpecialTokens, pieces: Mapping[str, int], *, with_bytes: bool
) -> dict[str, Any]:
    bos, eos = specials.bos, specials.eos
    ends = [] if specials.mask is None else [eos]

    def begin(type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": bos, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    def end(type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": eos, "type_id": type_id}}

    template = {
        "type": "TemplateProcessing",
        "single": [begin(0), text("A", 0), *(end(0) for _ in ends)],
        "pair": [
            begin(0),
            text("A", 0),
            *(end(0) for _ in ends),
            begin(1),
            text("B", 1),
            *(end(1) for _ in ends),
        ],
        "special_tokens": {
            name: {"id": name, "ids": [pieces[name]], "tokens": [name]} for name in [bos, *ends]
        },
    }
    if not with_bytes:
        return template
    letters = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": False,
        "use_regex": True,
    }
    return {"type": "Sequence", "processors": [letters, template]}
