"""A helper model's table over the tiny target vocabulary."""

import torch
from transformers import PreTrainedTokenizerFast

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources
from franken.parts.table import Table
from franken.word_vectors import VectorSpace
from tests.init_method.tiny import source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


def helper_table(
    tokenizer: PreTrainedTokenizerFast, *, size: int = 16, tied: bool = True, seed: int = 3
) -> Table:
    """Rows around an offset, as those of real models are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, len(tokenizer), size, generator=generator) + 0.3
    return Table(tokenizer, rows[0], None if tied else rows[1], None, lineage="helper")


def resources(
    kind: TokenizerKind = KIND, *, size: int = 16, tied: bool = True, words: bool = True
) -> InitResources:
    """A helper, and word vectors of every surface of the target vocabulary."""
    target = target_tokenizer(kind)
    made = InitResources(languages=["sw"], helper=helper_table(target, size=size, tied=tied))
    if words:
        surfaces = sorted({target.decode([i]).strip() for i in range(len(target))} - {""})
        generator = torch.Generator().manual_seed(11)
        vectors = torch.randn(len(surfaces), 20, generator=generator)
        made.word_vectors = {"sw": VectorSpace(surfaces, vectors)}
    return made


def source(kind: TokenizerKind = KIND, **options) -> Table:
    return source_table(kind, **options)
