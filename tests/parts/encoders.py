"""Tiny masked language models, each over the kind of tokenizer that its family has."""

from functools import cache
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from franken.config.base_model import TokenizerKind
from franken.tokenizer.families import SpecialTokens, train_tokenizer
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.scratch import ScratchVocab
from tests.init_method.texts import ENGLISH, SWAHILI
from tests.vocab.wordpiece import wordpiece_tokenizer

KINDS: dict[str, TokenizerKind | None] = {
    "bert": None,
    "roberta": TokenizerKind.byte_level_bpe,
    "xlm-roberta": TokenizerKind.sentencepiece_unigram,
    "deberta-v2": TokenizerKind.sentencepiece_unigram,
}
"""Family -> kind of its tokenizer; ``None``: WordPiece."""
SMALL: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 70, "type_vocab_size": 1,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "roberta": {"max_position_embeddings": 500},  # they begin behind the id of padding
    "deberta-v2": {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8,
        "max_relative_positions": 32,
    },
}  # fmt: skip


@cache
def encoder_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """cls, sep and mask as the family names them; text stands between cls and sep."""
    kind = KINDS[family]
    if kind is None:
        return wordpiece_tokenizer(size=110)
    specials = SpecialTokens("<pad>", "</s>", "<s>", "<unk>", ("<mask>",), 0)
    made = train_tokenizer(kind, ENGLISH, 420, specials=specials)
    made.add_special_tokens({"mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"})
    return made


@cache
def target_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Made from the family's own for two languages; its control tokens keep their ids."""
    if KINDS[family] is None:
        return wordpiece_tokenizer(size=340)
    texts = VocabTexts(source=lambda: ENGLISH, targets={"sw": lambda: SWAHILI})
    base = encoder_tokenizer(family)
    return build_vocabulary(base, ScratchVocab(size=480), texts, 0).tokenizer


def tiny_encoder(
    family: str, tokenizer: Any, *, rows: int | None = None, seed: int = 0, **settings: Any
) -> PreTrainedModel:
    """Random, biases and norms too, so that none can be forgotten."""
    roles = ("pad", "bos", "eos")
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in roles}
    own = SMALL | OWN.get(family, {}) | ids | settings
    config = AutoConfig.for_model(family, vocab_size=rows or len(tokenizer), **own)
    with torch.random.fork_rng(devices=[]):
        model: PreTrainedModel = AutoModelForMaskedLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()
