"""Vectors of pieces do not depend on how many are made at a time."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.config.init_method.similarity import SpaceAlignment
from franken.init_method import token_vectors
from franken.init_method.token_vectors import (
    OFA_FORMS,
    Weighting,
    decoded_vectors,
    languages_in_one_space,
    pooled_vectors,
)
from franken.vocab import pieces
from franken.vocab.pieces import PieceEncoder, canonical_bytes
from tests.init_method.tiny import source_table


@pytest.fixture
def spaces(resources):
    return list(languages_in_one_space(resources, SpaceAlignment.lexicon, "ofa")[0].values())


def pooled(target, spaces):
    rows = len(canonical_bytes(target))
    return pooled_vectors(target, rows, spaces, weighting=Weighting.counts, forms=OFA_FORMS)


@pytest.mark.parametrize("make", [pooled, lambda t, s: decoded_vectors(canonical_bytes(t), s)])
def test_small_batches_give_the_same_bits(make, target, spaces, monkeypatch) -> None:
    whole, known = make(target, spaces)
    monkeypatch.setattr(token_vectors, "_ROWS", 7)
    monkeypatch.setattr(token_vectors, "_COLUMNS", 3)
    parts, still_known = make(target, spaces)
    assert torch.equal(whole, parts)
    assert torch.equal(known, still_known)
    assert 0 < int(known.sum()) < len(known)


def test_pieces_are_encoded_a_batch_at_a_time(monkeypatch) -> None:
    tokenizer = source_table(TokenizerKind.byte_level_bpe, tied=True).tokenizer
    data = [piece for piece in canonical_bytes(tokenizer) if piece is not None] + [b"\xff house"]
    whole, seen = pieces.encode_pieces(tokenizer, data), []
    encode = PieceEncoder._encode

    def spying(self: PieceEncoder, batch: list[bytes]) -> list[list[int]]:
        seen.append(len(batch))
        return encode(self, batch)

    monkeypatch.setattr(PieceEncoder, "_encode", spying)
    monkeypatch.setattr(pieces, "_BATCH", 50)
    assert pieces.encode_pieces(tokenizer, data) == whole
    assert max(seen) == 50
    assert sum(seen) == len(data)
