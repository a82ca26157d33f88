"""Means over the merge tree: a tree worked by hand, and a slow recursion over real ones."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.merge import MergeInit
from franken.parts.table import Table
from franken.tokenizer.pieces import canonical_bytes, encode_pieces
from franken.tokenizer.pipeline import pipeline_of
from tests.faults import raises
from tests.init_method.tiny import (
    RESOURCES,
    edited,
    source_table,
    target_tokenizer,
    text_ids,
)

BPE = [TokenizerKind.byte_level_bpe, TokenizerKind.sentencepiece_bpe]


def spelled(vocab, merges):
    model = models.BPE(vocab={piece: i for i, piece in enumerate(vocab)}, merges=merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_a_tree_worked_by_hand():
    """``abcd = (ab)(cd)`` or ``(abc)(d)``; the source has a, b, c, d and ab."""
    source_tok = spelled(["a", "b", "c", "d", "ab"], [("a", "b")])
    target_tok = spelled(
        ["a", "b", "c", "d", "ab", "cd", "abc", "abcd"],
        [("a", "b"), ("c", "d"), ("ab", "c"), ("ab", "cd"), ("abc", "d")],
    )
    source = Table(source_tok, torch.eye(5), None, None, lineage="body")
    token_map = fit_map(source, target_tok, MergeInit(), RESOURCES, 0)
    ids = target_tok.get_vocab()

    def row(piece):
        return dict(token_map.row(ids[piece]))

    assert row("ab") == {4: 1.0}
    assert row("cd") == {2: 0.5, 3: 0.5}
    assert row("abc") == {4: 0.5, 2: 0.5}
    # ((ab) + (c+d)/2) / 2 and ((ab+c)/2 + d) / 2, and the mean of the two
    assert row("abcd") == {4: 0.375, 2: 0.25, 3: 0.375}
    assert token_map.notes["merge"]["rows"] == 3


@pytest.mark.parametrize("kind", BPE, ids=lambda kind: kind.value)
def test_rows_are_those_of_a_plain_recursion_input_and_head(kind):
    source, target = source_table(kind, tied=False), target_tokenizer(kind)
    table, token_map = initialise(source, target, MergeInit(), RESOURCES, 0)
    pipeline, texts = pipeline_of(target), canonical_bytes(target)
    of_bytes = {data: i for i, data in enumerate(canonical_bytes(source.tokenizer)) if data}
    halves = {}
    for left, right in pipeline.merges:
        halves.setdefault(left + right, []).append((left, right))

    def row(piece, matrix, *, top=False):
        data = texts[pipeline.pieces[piece]]
        if data in of_bytes and not top:
            return matrix[of_bytes[data]]
        pairs = halves.get(piece, [])
        if not pairs:
            (ids,) = encode_pieces(source.tokenizer, [data])
            return torch.stack([matrix[i] for i in ids]).mean(0)
        means = [(row(left, matrix) + row(right, matrix)) / 2 for left, right in pairs]
        return torch.stack(means).mean(0)

    names = {index: piece for piece, index in pipeline.pieces.items()}
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(computed) > 80
    for index in computed:
        for old, new in ((source.input, table.input), (source.output, table.output)):
            expected = row(names[index], old.double())
            assert torch.allclose(new[index].double(), expected, atol=1e-5), names[index]


def test_unigram_targets_are_refused():
    kind = TokenizerKind.sentencepiece_unigram
    with raises(CompatibilityError, "init_method=merge", "Unigram"):
        fit_map(source_table(kind), target_tokenizer(kind), MergeInit(), RESOURCES, 0)


def test_letters_that_no_merge_makes_follow_the_fallback():
    kind = TokenizerKind.sentencepiece_bpe
    target = target_tokenizer(kind)
    _, token_map = initialise(source_table(kind), target, MergeInit(), RESOURCES, 0)
    merged = {left + right for left, right in pipeline_of(target).merges}
    names = {index: piece for piece, index in target.get_vocab().items()}
    fallen = (token_map.provenance == Provenance.fallback).nonzero().flatten().tolist()
    assert fallen
    assert not {names[row] for row in fallen} & merged


def test_rows_follow_their_token_when_ids_move():
    kind = TokenizerKind.byte_level_bpe
    source, target = source_table(kind), target_tokenizer(kind)
    ids = text_ids(target)
    moved = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    first, _ = initialise(source, target, MergeInit(), RESOURCES, 0)
    second, _ = initialise(source, edited(target, moved), MergeInit(), RESOURCES, 0)
    for old, new in moved.items():
        assert torch.equal(first.input[old], second.input[new])


def test_without_copies_a_shared_piece_is_made_of_its_parts():
    kind = TokenizerKind.sentencepiece_bpe
    source, target = source_table(kind), target_tokenizer(kind)
    token_map = fit_map(source, target, MergeInit(copy_overlap=False), RESOURCES, 0)
    row = target.get_vocab()["▁house"]
    assert token_map.provenance[row] == Provenance.computed
    assert source.tokenizer.get_vocab()["▁house"] not in dict(token_map.row(row))
