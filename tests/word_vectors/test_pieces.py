"""Pieces as words: the same labels in training and in look-up, for tokenizers of all kinds."""

import pytest

from franken.config.base_model import TokenizerKind
from franken.tokenizer.pieces import canonical_bytes
from franken.word_vectors.common.pieces import cut_to_pieces, piece_labels
from tests.init_method.tiny import SWAHILI, target_tokenizer


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_labels_are_readable_and_none_for_special_tokens(kind):
    tokenizer = target_tokenizer(kind)
    labels, pieces = piece_labels(tokenizer), canonical_bytes(tokenizer)
    assert [label is None for label in labels] == [data is None for data in pieces]
    assert labels[pieces.index(b" nyumba")] == "▁nyumba"


@pytest.mark.parametrize("kind", list(TokenizerKind))
def test_a_line_is_cut_as_the_tokenizer_cuts_running_text(kind):
    tokenizer = target_tokenizer(kind)
    labels = piece_labels(tokenizer)
    lines = [*SWAHILI, "", "nyumba 中"]
    found = list(cut_to_pieces(lines, tokenizer))
    assert len(found) == len(lines)
    for line, cut in zip(lines, found, strict=True):
        ids = tokenizer(line, add_special_tokens=False)["input_ids"]
        assert cut == [labels[index] for index in ids if labels[index] is not None]
    assert found[-2] == []
    assert "▁kitabu" in found[1] or "kitabu" in found[1]
