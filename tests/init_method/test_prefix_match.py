"""prefix_match: the longest source piece that a token begins with."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, Provenance, fit_map, initialise
from franken.init_method.prefix_match import PrefixMatchInit, PrefixSide
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.tokenizer.pieces import canonical_bytes
from tests.init_method.tiny import source_table, target_tokenizer

NOTHING = InitResources()


@pytest.mark.parametrize("kind", list(TokenizerKind), ids=[kind.value for kind in TokenizerKind])
def test_the_longest_prefix_by_a_scan_of_the_whole_vocabulary(kind):
    source, target = source_table(kind), target_tokenizer(kind)
    token_map = fit_map(source, target, PrefixMatchInit(), NOTHING, 0)
    old = canonical_bytes(source.tokenizer)
    means = fit_map(source, target, SubtokenMeanInit(), NOTHING, 0)
    found = 0
    for row in (token_map.provenance == Provenance.computed).nonzero().flatten().tolist():
        data = canonical_bytes(target)[row]
        prefixes = [
            piece for piece in old
            if piece and piece.strip() and piece != data and data.startswith(piece)
            and _is_text(data[len(piece) :])
        ]  # fmt: skip
        if not prefixes:
            assert token_map.row(row) == means.row(row)
            continue
        found += 1
        (index, weight), *others = token_map.row(row)
        assert (old[index], weight, others) == (max(prefixes, key=len), 1.0, [])
    assert found >= 5


def _is_text(rest):
    return rest[0] & 0xC0 != 0x80


def test_a_blank_is_no_prefix_and_a_character_is_not_cut():
    method = PrefixMatchInit()
    known = {b" ": 0, b" a": 1, "é".encode()[:1]: 2, b"b": 3}
    assert method._longest(b" ab", known) == b" a"
    assert method._longest(b" cd", known) is None
    assert method._longest(b"a", known) is None
    assert method._longest("é".encode(), known) is None
    cut = PrefixMatchInit(whole_characters=False)
    assert cut._longest("é".encode(), known) == "é".encode()[:1]


@pytest.mark.parametrize("side", [PrefixSide.output, PrefixSide.input])
def test_the_other_side_has_the_subtoken_mean(side):
    kind = TokenizerKind.sentencepiece_bpe
    source, target = source_table(kind, tied=False), target_tokenizer(kind)
    table, _ = initialise(source, target, PrefixMatchInit(side=side), NOTHING, 0)
    both, _ = initialise(source, target, PrefixMatchInit(), NOTHING, 0)
    mean, _ = initialise(source, target, SubtokenMeanInit(), NOTHING, 0)
    prefix_part, mean_part = (
        ("output", "input") if side is PrefixSide.output else ("input", "output")
    )
    assert torch.equal(getattr(table, prefix_part), getattr(both, prefix_part))
    torch.testing.assert_close(getattr(table, mean_part), getattr(mean, mean_part))
    assert not torch.equal(both.input, mean.input)
