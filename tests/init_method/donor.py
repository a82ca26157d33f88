"""A helper model's table over the tiny target vocabulary, and initialisers that read it."""

from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, Provenance, TokenMap, initialise
from franken.init_method.common.helper import HelperInit
from franken.parts.table import Table
from franken.tokenizer.pieces import canonical_bytes
from franken.tokenizer.pipeline import BYTE_PIECE
from franken.word_vectors import VectorSpace
from tests.init_method.tiny import configs, source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe
DONOR_CONFIGS = configs(helper=True)
"""Initialisers that read a helper; their contract is in test_donor_contract."""


def helper_table(
    tokenizer: PreTrainedTokenizerBase, *, size: int = 16, tied: bool = True, seed: int = 3
) -> Table:
    """Rows around an offset, as those of real models are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, len(tokenizer), size, generator=generator) + 0.3
    return Table(tokenizer, rows[0], None if tied else rows[1], None, lineage="helper")


def word_space(tokenizer: PreTrainedTokenizerBase, *, seed: int = 11) -> VectorSpace:
    """A vector for every surface of a vocabulary."""
    surfaces = sorted(
        {tokenizer.decode([i]).strip() for i in range(len(tokenizer))} - {"", "\ufffd"}
    )
    generator = torch.Generator().manual_seed(seed)
    return VectorSpace(surfaces, torch.randn(len(surfaces), 20, generator=generator))


def donor_resources(
    tokenizer: PreTrainedTokenizerBase, *, size: int = 16, tied: bool = True
) -> InitResources:
    """Helper and word vectors."""
    return InitResources(
        languages=["sw"],
        helper=helper_table(tokenizer, size=size, tied=tied),
        word_vectors={"sw": word_space(tokenizer)},
    )


def make(
    config: HelperInit,
    *,
    rows: Tensor | None = None,
    source: Table | None = None,
    resources: InitResources | None = None,
) -> tuple[Table, Table, TokenMap]:
    """Source, new table and map on the tiny vocabularies.

    Args:
        config: the method.
        rows: helper rows instead of random ones.
        source: the old table instead of random rows.
        resources: instead of :func:`donor_resources`.
    """
    source = source or source_table(KIND)
    target = target_tokenizer(KIND)
    resources = resources or donor_resources(target)
    if rows is not None:
        assert resources.helper is not None
        resources.helper = replace(resources.helper, input=rows)
    table, token_map = initialise(source, target, config, resources, 0)
    return source, table, token_map


def computed_ids(token_map: TokenMap) -> list[int]:
    """Target ids of the rows that the method made."""
    ids: list[int] = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    return ids


def anchor_pairs(token_map: TokenMap) -> tuple[Tensor, Tensor]:
    """Target ids and source rows of the copied rows, byte pieces apart."""
    copied = (token_map.provenance == Provenance.copied).nonzero().flatten().tolist()
    names = target_tokenizer(KIND).convert_ids_to_tokens(copied)
    pairs = zip(copied, names, strict=True)
    ids = torch.tensor([index for index, name in pairs if not BYTE_PIECE.fullmatch(name)])
    return ids, token_map.indices[token_map.indptr[ids]].long()


def alike(rows: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Rows by target id, equal where two tokens (``A``, ``<0x41>``) stand for the same bytes."""
    first: dict[bytes, int] = {}
    made = rows.clone()
    for index, data in enumerate(canonical_bytes(tokenizer)):
        if data is not None:
            made[index] = rows[first.setdefault(data, index)]
    return made


def anchors_of(token_map: TokenMap) -> dict[int, int]:
    """Source row -> lowest target id that copies it."""
    ids, columns = anchor_pairs(token_map)
    return dict(zip(columns.tolist()[::-1], ids.tolist()[::-1], strict=True))
