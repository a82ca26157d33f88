"""Vocabularies: how the tokenizer of the adapted model is built, a file for each option.

An option is its fields and its code in one class, see :mod:`franken.declare`.
"""

from franken.lazy import later

with later(public=True):
    from franken.tokenizer.families import SpecialTokens, family_of, train_tokenizer
    from franken.tokenizer.pieces import (
        canonical_bytes,
        encode_piece,
        encode_pieces,
        special_ids,
        special_roles,
        vocabulary_overlap,
    )
    from franken.tokenizer.types import VocabResult, VocabTexts
    from franken.vocab.base import build_vocabulary

__all__ = [
    "SpecialTokens",
    "VocabResult",
    "VocabTexts",
    "build_vocabulary",
    "canonical_bytes",
    "encode_piece",
    "encode_pieces",
    "family_of",
    "special_ids",
    "special_roles",
    "train_tokenizer",
    "vocabulary_overlap",
]
