"""Weights by position: worked by hand, on both sides of the table."""

import math

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import Provenance, apply_map, initialise
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.init_method.weighted_pooling import (
    PoolingScheme,
    WeightedPoolingInit,
    position_weights,
)
from franken.token_map.explain import explain_row
from franken.token_map.storage import load_map, save_map
from franken.tokenizer.pieces import encode_pieces
from tests.faults import faults_of, unnamed
from tests.init_method.tiny import RESOURCES, edited, source_table, target_tokenizer, text_ids

KIND = TokenizerKind.sentencepiece_bpe
SCHEMES = list(PoolingScheme)


def weights(scheme, *sizes, **options):
    found = position_weights(np.array(sizes), WeightedPoolingInit(scheme=scheme, **options))
    return [side.tolist() for side in found]


def test_adaptivocab_leads_with_the_last_piece_in_and_the_first_out():
    e2, e4, e6 = math.exp(2), math.exp(4), math.exp(6)
    inward, outward = weights(PoolingScheme.adaptivocab, 3)
    assert inward == pytest.approx([x / (e2 + e4 + e6) for x in (e2, e4, e6)])
    assert outward == pytest.approx([x / (e2 + e4 + e6) for x in (e6, e4, e2)])
    assert weights(PoolingScheme.adaptivocab, 3, rate=0.0)[0] == pytest.approx([1 / 3] * 3)
    long = weights(PoolingScheme.adaptivocab, 2000)[0]
    assert math.isfinite(sum(long))


def test_last_first_takes_the_last_piece_in_and_a_geometric_decay_out():
    inward, outward = weights(PoolingScheme.last_first, 3)
    assert inward == [0, 0, 1]
    assert outward == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert weights(PoolingScheme.last_first, 3, decay=0.0)[1] == [1, 0, 0]
    assert weights(PoolingScheme.last_first, 3, decay=1.0)[1] == pytest.approx([1 / 3] * 3)


def test_the_other_schemes_are_the_same_on_both_sides():
    assert weights(PoolingScheme.first_last, 4, 2, 1) == [[0.5, 0, 0, 0.5, 0.5, 0.5, 1]] * 2
    assert weights(PoolingScheme.sum, 3, 0, 1) == [[1, 1, 1, 1]] * 2
    assert weights(PoolingScheme.uniform, 2, 0, 4) == [[0.5] * 2 + [0.25] * 4] * 2


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.value)
def test_rows_are_those_of_a_plain_loop_on_either_side(scheme):
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    table, token_map = initialise(source, target, WeightedPoolingInit(scheme=scheme), RESOURCES, 0)
    from franken.tokenizer.pieces import canonical_bytes

    texts = canonical_bytes(target)
    for row in (token_map.provenance == Provenance.computed).nonzero().flatten().tolist():
        (ids,) = encode_pieces(source.tokenizer, [texts[row]])
        sides = position_weights(np.array([len(ids)]), WeightedPoolingInit(scheme=scheme))
        for old, new, weight in zip(
            (source.input, source.output), (table.input, table.output), sides, strict=True
        ):
            expected = sum(w * old[i].double() for i, w in zip(ids, weight.tolist(), strict=True))
            assert torch.allclose(new[row].double(), expected, rtol=1e-5, atol=1e-5)


def test_uniform_is_the_subtoken_mean():
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    uniform = WeightedPoolingInit(scheme=PoolingScheme.uniform)
    first, one_sided = initialise(source, target, uniform, RESOURCES, 0)
    second, _ = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    assert one_sided.output_weights is None
    assert torch.allclose(first.input, second.input, atol=1e-6)
    assert torch.allclose(first.output, second.output, atol=1e-6)


def made(tied, **options):
    config = WeightedPoolingInit(**options)
    source = source_table(KIND, tied=tied)
    return initialise(source, target_tokenizer(KIND), config, RESOURCES, 0)


def test_a_tied_table_takes_the_weights_of_the_input():
    tied, _ = made(True, rate=1.0)
    untied, _ = made(False, rate=1.0)
    assert tied.output is None
    assert torch.equal(tied.input, untied.input)
    assert not torch.equal(untied.input, untied.output)


@pytest.mark.parametrize(("tied", "untie", "rate"), [(True, False, 0.5), (True, True, 2.0),
                                                     (False, False, 2.0)])  # fmt: skip
def test_the_rate_is_milder_where_one_row_is_read_and_written(tied, untie, rate):
    found, _ = made(tied, untie=untie)
    expected, _ = made(tied, untie=untie, rate=rate)
    assert torch.equal(found.input, expected.input)
    assert not torch.equal(found.input, made(tied, untie=untie, rate=1.0)[0].input)


def test_an_untied_head_copies_old_rows_and_weighs_new_ones_from_the_first_piece():
    table, token_map = made(True, untie=True)
    mirror, _ = made(True, untie=True, scheme=PoolingScheme.uniform)
    copied = token_map.provenance == Provenance.copied
    computed = token_map.provenance == Provenance.computed
    assert copied.any()
    assert computed.any()
    assert not table.tied
    assert torch.equal(table.output[copied], table.input[copied])
    assert not torch.equal(table.output[computed], table.input[computed])
    assert torch.equal(mirror.output, mirror.input)


def test_output_weights_survive_the_disk_and_bad_ones_are_faults(tmp_path):
    source = source_table(KIND, tied=False)
    config = WeightedPoolingInit(scheme=PoolingScheme.last_first)
    table, token_map = initialise(source, target_tokenizer(KIND), config, RESOURCES, 0)
    save_map(token_map, tmp_path / "map")
    loaded = load_map(tmp_path / "map")
    assert torch.equal(loaded.output_weights, token_map.output_weights)
    for chunk in (1, 13, 10_000):
        again = apply_map(loaded, source.output, part="output", chunk_rows=chunk)
        assert torch.equal(again, table.output)
    row = int((token_map.provenance == Provenance.computed).nonzero()[0])
    assert explain_row(loaded, row)["source_count"] == 1
    loaded.output_weights[3] = float("nan")
    assert any("output_weights" in fault and "NaN" in fault for fault in loaded.faults())
    loaded.output_weights = loaded.output_weights[:-1]
    assert not unnamed(loaded.faults()[0], "output_weights", len(loaded.output_weights))


def test_rows_follow_their_token_when_ids_move():
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    ids = text_ids(target)
    moved = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    first, _ = initialise(source, target, WeightedPoolingInit(), RESOURCES, 0)
    second, _ = initialise(source, edited(target, moved), WeightedPoolingInit(), RESOURCES, 0)
    for old, new in moved.items():
        assert torch.equal(first.input[old], second.input[new])
        assert torch.equal(first.output[old], second.output[new])


def test_options_out_of_range_are_faults():
    assert set(faults_of(WeightedPoolingInit, rate=-1.0, decay=1.5)) == {"rate", "decay"}
