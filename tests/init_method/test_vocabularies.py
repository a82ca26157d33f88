"""Ids, holes, order and foreign scripts: what goes wrong between two vocabularies."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.tokenizer.families import SpecialTokens, train_tokenizer
from franken.tokenizer.pieces import canonical_bytes, encode_piece
from tests.bounds import sum_error
from tests.init_method.tiny import (
    CONFIGS,
    ENGLISH,
    RESOURCES,
    SWAHILI,
    edited,
    source_table,
    source_tokenizer,
    target_tokenizer,
    text_ids,
)

BPE = TokenizerKind.sentencepiece_bpe
BYTE_LEVEL = TokenizerKind.byte_level_bpe
UNIGRAM = TokenizerKind.sentencepiece_unigram


@pytest.mark.parametrize("method", sorted(CONFIGS))
@pytest.mark.parametrize("kind", [BPE, BYTE_LEVEL], ids=["sentencepiece", "byte_level"])
def test_permuting_the_target_vocabulary_permutes_the_rows_bit_for_bit(kind, method):
    source, target = source_table(kind), target_tokenizer(kind)
    ids = text_ids(target)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(1)).tolist()
    moved = {old: ids[new] for old, new in zip(ids, order, strict=True)}
    plain, _ = initialise(source, target, CONFIGS[method], RESOURCES, 0)
    permuted, _ = initialise(source, edited(target, moved), CONFIGS[method], RESOURCES, 0)
    for old, new in moved.items():
        assert torch.equal(plain.input[old], permuted.input[new]), target.convert_ids_to_tokens(old)


def test_an_id_without_a_token_becomes_a_padding_row_of_mean_values():
    source, target = source_table(BPE), target_tokenizer(BPE)
    last = len(target) - 1
    table, token_map = initialise(
        source, edited(target, {last: last + 3}), SubtokenMeanInit(), RESOURCES, 0
    )
    assert table.rows == last + 4
    assert token_map.provenance[last : last + 3].tolist() == [Provenance.padding] * 3
    text = torch.tensor([data is not None for data in canonical_bytes(source.tokenizer)])
    mean = source.input[: len(text)][text].mean(dim=0)
    # the mean of as many float32 rows, in float32 here
    bound = sum_error(int(text.sum()), source.input.abs().max())
    assert float((table.input[last] - mean).abs().max()) <= bound
    assert token_map.provenance[last + 3] != Provenance.padding


@pytest.mark.parametrize("source_kind", [BYTE_LEVEL, UNIGRAM])
def test_vocabularies_of_different_kinds_meet_in_their_bytes(source_kind):
    texts = [*ENGLISH, "café naïve über", "café über naïve"]
    source = source_table(source_kind, tokenizer=train_tokenizer(source_kind, texts, 460))
    target = train_tokenizer(BPE, [*texts, *SWAHILI], 500)
    table, token_map = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    theirs = {}
    for index, data in enumerate(canonical_bytes(source.tokenizer)):
        if data is not None:
            theirs.setdefault(data, index)
    shared = 0
    for row, data in enumerate(canonical_bytes(target)):
        if data in theirs and data is not None and len(data) > 1:
            assert torch.equal(table.input[row], source.input[theirs[data]])
            shared += 1
    assert shared, "no common piece: nothing was compared"
    without_partner = (token_map.provenance == Provenance.fallback).nonzero().flatten().tolist()
    byte_level = source_kind is BYTE_LEVEL  # has no unknown token
    assert without_partner == ([target.unk_token_id] if byte_level else [])


@pytest.mark.parametrize("kind", list(TokenizerKind), ids=[kind.value for kind in TokenizerKind])
def test_pieces_of_an_unseen_script_take_the_mean_of_their_bytes(kind):
    source, target = source_table(kind), target_tokenizer(kind)
    table, _ = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    pieces = canonical_bytes(target)
    by_byte = {data: i for i, data in enumerate(canonical_bytes(source.tokenizer)) if data}
    unseen = [row for row, data in enumerate(pieces) if data and "ቤ".encode() in data]
    assert unseen
    for row in unseen:
        singles = [by_byte[bytes([byte])] for byte in pieces[row]]
        if encode_piece(source.tokenizer, pieces[row]) == singles:
            expected = source.input[singles].mean(dim=0)
            bound = 2 * sum_error(len(singles), source.input.abs().max())
            assert float((table.input[row] - expected).abs().max()) <= bound


def test_a_new_control_token_falls_back_and_is_counted():
    source = source_table(BPE)
    specials = SpecialTokens(others=("<start_of_turn>", "<end_of_turn>", "<tool>"))
    target = train_tokenizer(BPE, ENGLISH, 420, specials=specials)
    table, token_map = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    row = target.convert_tokens_to_ids("<tool>")
    assert token_map.provenance[row] == Provenance.fallback
    assert table.provenance["counts"]["fallback"] == 1
    assert table.provenance["without_weights"] == 1
    assert table.provenance["examples"]["fallback"][0].startswith("<tool> <- nothing known")


def test_specials_match_by_role_where_their_strings_differ():
    source = source_table(BPE)
    names = SpecialTokens(pad="[PAD]", eos="</s>", bos="<s>", unk="[UNK]")
    target = train_tokenizer(BPE, ENGLISH, 420, specials=names)
    table, _ = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    old = source_tokenizer(BPE)
    assert torch.equal(table.input[target.bos_token_id], source.input[old.bos_token_id])
    assert torch.equal(table.input[target.eos_token_id], source.input[old.eos_token_id])


def test_without_copies_shared_pieces_are_made_by_the_method_and_specials_are_kept():
    source, target = source_table(BPE), target_tokenizer(BPE)
    config = type(CONFIGS["random_normal"])(copy_overlap=False)
    table, token_map = initialise(source, target, config, InitResources(), 0)
    assert token_map.counts()["copied"] == 0
    assert token_map.counts()["special"] == len(target.added_tokens_decoder)
    assert torch.equal(table.input[target.bos_token_id], source.input[target.bos_token_id])


def test_a_source_row_that_a_token_lacks_is_never_asked_for():
    """Tokenizers may have ids past the table; such tokens cannot be copied or pooled."""
    from franken.init_method import fit_map

    source, target = source_table(BPE), target_tokenizer(BPE)
    source.input = source.input[: len(source.tokenizer) - 40]
    token_map = fit_map(source, target, SubtokenMeanInit(), RESOURCES, 0)
    assert token_map.source_rows == source.rows
    assert int(token_map.indices.max()) < source.rows
