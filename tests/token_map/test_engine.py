"""The engine against examples by hand, plain loops, and itself in other chunks."""

import pytest
import torch

from franken.errors import CompatibilityError
from franken.init_method import (
    AppliedMap,
    FallbackRule,
    ReaderRows,
    Reduce,
    apply_map,
    apply_to_bias,
)
from franken.parts.safetensors_file import computed_entry, read_header, read_tensor, write_file
from franken.token_map.options import Fallback
from tests.faults import raises
from tests.init_method.tiny import hand_made_map, reference_rows

SPECIAL, COPIED, COMPUTED, FALLBACK, PADDING = range(5)


def random_map(rows: int = 300, source_rows: int = 90, **options):
    """Copies, sums of up to six rows, empty and padding rows, all mixed."""
    generator = torch.Generator().manual_seed(5)
    made, provenance = [], []
    for index in range(rows):
        kind = index % 5
        size = {COPIED: 1, SPECIAL: 1, FALLBACK: 0, PADDING: 0}.get(kind, 1 + index % 6)
        chosen = torch.randperm(source_rows, generator=generator)[:size].tolist()
        shares = torch.rand(size, generator=generator).tolist()
        made.append(dict(zip(chosen, [1.0] if kind < COMPUTED else shares, strict=True)))
        provenance.append(kind)
    exemplars = torch.arange(source_rows) >= 7
    return hand_made_map(made, provenance, source_rows=source_rows, exemplars=exemplars, **options)


def test_three_tokens_by_hand():
    source = torch.tensor([[1.0, 0.0], [0.0, 4.0], [2.0, 2.0]])
    token_map = hand_made_map(
        [{2: 1.0}, {0: 0.75, 1: 0.25}, {}], [COPIED, COMPUTED, FALLBACK], source_rows=3
    )
    expected = torch.tensor([[2.0, 2.0], [0.75, 1.0], [1.0, 2.0]])
    assert torch.equal(apply_map(token_map, source), expected)
    token_map.reduce = Reduce.max
    assert torch.equal(apply_map(token_map, source)[1], torch.tensor([1.0, 4.0]))


def test_the_bias_takes_the_same_weights_and_the_mean_where_there_are_none():
    token_map = hand_made_map(
        [{2: 1.0}, {0: 0.75, 1: 0.25}, {}, {}],
        [SPECIAL, COMPUTED, FALLBACK, PADDING],
        source_rows=3,
        fallback=FallbackRule(Fallback.normal),
        noise_std=1.0,
        norm_match=True,
    )
    bias = torch.tensor([4.0, 8.0, 0.0])
    assert apply_to_bias(token_map, bias).tolist() == [0.0, 5.0, 4.0, 4.0]


@pytest.mark.parametrize("reduce", list(Reduce))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_engine_equals_a_loop_over_rows(reduce, dtype):
    token_map = random_map(reduce=reduce)
    source = torch.randn(90, 24, generator=torch.Generator().manual_seed(0)).to(dtype)
    made = apply_map(token_map, source)
    assert made.dtype == dtype
    # Weights and the mean row are kept in float32, so float64 tables gain no more than that.
    tolerance = max(torch.finfo(dtype).eps, 5e-7)
    for row, expected in reference_rows(token_map, source).items():
        assert (made[row].double() - expected).abs().max() <= tolerance * 4, row


@pytest.mark.parametrize("rule", [Fallback.mean, Fallback.normal, Fallback.multivariate])
@pytest.mark.parametrize("options", [{}, {"noise_std": 0.1, "norm_match": True}], ids=["", "noise"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_result_is_the_same_bits_for_any_chunk_size(rule, options, dtype):
    token_map = random_map(fallback=FallbackRule(rule, 0.5, 11), **options)
    source = torch.randn(90, 40, generator=torch.Generator().manual_seed(0)).to(dtype)
    whole = apply_map(token_map, source)
    for chunk_rows in (1, 7, 64, 299, 1000):
        assert torch.equal(apply_map(token_map, source, chunk_rows=chunk_rows), whole), chunk_rows
    reader = ReaderRows((90, 40), dtype, lambda start, stop: source[start:stop].clone())
    assert torch.equal(apply_map(token_map, reader, chunk_rows=13), whole)


def test_rows_can_be_made_straight_into_a_file(tmp_path):
    token_map = random_map(fallback=FallbackRule(Fallback.normal, 1.0, 2))
    source = torch.randn(90, 8)
    applied = AppliedMap(token_map, source)
    entry = computed_entry("input", applied.shape, applied.dtype, applied.rows)
    write_file(tmp_path / "rows.safetensors", [entry], {})
    ranges, _ = read_header(tmp_path / "rows.safetensors")
    stored = read_tensor(tmp_path / "rows.safetensors", ranges["input"])
    assert torch.equal(stored, apply_map(token_map, source))


def test_a_reader_is_asked_for_the_needed_rows_only():
    token_map = hand_made_map(
        [{5: 1.0}, {6: 0.5, 5000: 0.5}], [COPIED, COMPUTED], source_rows=10_000
    )
    asked = []

    def reader(start: int, stop: int) -> torch.Tensor:
        asked.append((start, stop))
        return torch.ones(stop - start, 4)

    apply_map(token_map, ReaderRows((10_000, 4), torch.float32, reader))
    assert sum(stop - start for start, stop in asked) < 50


def test_copies_keep_their_bits_even_where_arithmetic_would_not():
    source = torch.tensor([[-0.0, 1e-45, 3.3895e38], [1.0, 2.0, 3.0]])
    token_map = hand_made_map([{0: 1.0}], [COPIED], source_rows=2)
    made = apply_map(token_map, source)
    assert torch.equal(made.view(torch.int32), source[:1].view(torch.int32))


def test_sums_of_bfloat16_rows_run_in_float32():
    """Ten rows of 1 and one of 256: bfloat16 would lose every 1 added to 256."""
    source = torch.tensor([[256.0], *[[1.0]] * 10], dtype=torch.bfloat16)
    token_map = hand_made_map([dict.fromkeys(range(11), 1.0)], [COMPUTED], source_rows=11)
    assert apply_map(token_map, source).item() == 266.0


def test_mapping_and_a_linear_change_of_the_space_commute():
    token_map = random_map()
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(90, 16, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=generator, dtype=torch.float64))[0]
    assert torch.allclose(
        apply_map(token_map, source @ rotation), apply_map(token_map, source) @ rotation, atol=1e-6
    )


def test_norm_match_gives_computed_rows_the_mean_norm_of_text_rows():
    token_map = random_map(norm_match=True)
    source = torch.randn(90, 16, generator=torch.Generator().manual_seed(0))
    made = apply_map(token_map, source)
    norms = made.norm(dim=1)
    expected = source[7:].norm(dim=1).mean()
    assert torch.allclose(norms[token_map.provenance == COMPUTED], expected, rtol=1e-5)
    plain = apply_map(random_map(), source)
    rest = token_map.provenance != COMPUTED
    assert torch.equal(made[rest], plain[rest])


def test_noise_has_the_promised_size_and_spares_copies_and_padding():
    source = torch.randn(90, 64, generator=torch.Generator().manual_seed(0)) * 3
    quiet = apply_map(random_map(), source)
    token_map = random_map(noise_std=0.1)
    difference = apply_map(token_map, source) - quiet
    touched = (token_map.provenance == COMPUTED) | (token_map.provenance == FALLBACK)
    assert bool((difference[~touched] == 0).all())
    unit = source[7:].std(dim=0, correction=0).mean()
    assert torch.allclose(difference[touched].std(), 0.1 * unit, rtol=0.03)


def test_drawn_rows_are_keyed_by_token_not_by_position():
    source = torch.randn(90, 16, generator=torch.Generator().manual_seed(0))
    for rule in (Fallback.normal, Fallback.multivariate):
        token_map = random_map(fallback=FallbackRule(rule, 1.0, 4))
        made = apply_map(token_map, source)
        order = torch.randperm(300, generator=torch.Generator().manual_seed(2)).tolist()
        moved = hand_made_map(
            [dict(token_map.row(row)) for row in order],
            [int(token_map.provenance[row]) for row in order],
            source_rows=90,
            exemplars=token_map.exemplars,
            keys=[token_map.keys[row] for row in order],
            fallback=token_map.fallback,
        )
        assert torch.equal(apply_map(moved, source), made[order])


def test_a_table_of_another_length_is_refused():
    with raises(CompatibilityError, 90, "output", 8):
        apply_map(random_map(), torch.ones(8, 4), part="output")
