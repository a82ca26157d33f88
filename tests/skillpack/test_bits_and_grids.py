"""Bit streams and the group quantiser (graftllm notes, invariants 6 and 7)."""

import numpy as np
import pytest
import torch

from franken.parts.forms.bits import pack_bits, packed_length, unpack_bits
from franken.parts.forms.quantised import Floats, Quantised, fit_grid
from tests.faults import raises


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("length", [0, 1, 7, 8, 31, 33, 128, 1000])
def test_codes_come_back_and_take_no_more_than_their_bits(bits, length):
    codes = torch.randint(0, 2**bits, (3, length), dtype=torch.uint8)
    packed = pack_bits(codes, bits)
    assert packed.shape == (3, -(-bits * length // 8))
    assert torch.equal(unpack_bits(packed, bits, length), codes)


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_the_stream_is_little_endian(bits):
    codes = [3, 1, 2, 0, 3, 2, 1, 1, 2]
    number = sum(code << (bits * index) for index, code in enumerate(codes))
    expected = number.to_bytes(packed_length(len(codes), bits), "little")
    packed = pack_bits(torch.tensor([codes], dtype=torch.uint8), bits)
    assert bytes(packed[0].tolist()) == expected


def test_thirty_two_values_of_three_bits_take_twelve_bytes():
    assert packed_length(32, 3) == 12


def test_a_code_that_does_not_fit_is_refused():
    with raises(ValueError, 4, "2 bits"):
        pack_bits(torch.tensor([[4]], dtype=torch.uint8), 2)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scale", [1e-9, 1e-5, 1.0, 3e4])
def test_the_error_is_at_most_half_a_step_and_zero_is_exact(bits, scale):
    values = torch.randn(6, 300, generator=torch.Generator().manual_seed(0)) * scale
    values[2, 10:40] = 0
    found = Quantised.round(values, bits, 128)
    steps = found.grid.scales.repeat_interleave(128, dim=1)[:, :300]
    error = (found.decode() - values).abs()
    assert bool((error <= steps / 2 * (1 + 1e-5)).all())
    assert bool((found.decode()[2, 10:40] == 0).all())
    assert int(found.codes.max()) <= 2**bits - 1


def test_constant_and_empty_groups_survive():
    values = torch.zeros(3, 64)
    values[1], values[2] = 0.37, -2.5
    found = Quantised.round(values, 2, 32).decode()
    assert torch.equal(found[0], torch.zeros(64))
    torch.testing.assert_close(found, values, rtol=2e-3, atol=0)


@pytest.mark.parametrize(("bits", "expected"), [(8, 0.0059), (4, 0.100), (3, 0.215), (2, 0.502)])
def test_relative_error_of_unit_rows_is_that_of_the_notes(bits, expected):
    rows = torch.randn(64, 4096, generator=torch.Generator().manual_seed(1))
    rows = rows / rows.norm(dim=1, keepdim=True)
    found = Quantised.round(rows, bits, 128).decode()
    assert float((found - rows).norm() / rows.norm()) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("scale", [1e-8, 1.0])
def test_a_stored_matrix_decodes_to_the_same_bits(bits, scale):
    values = torch.randn(5, 200) * scale
    made = Quantised.round(values, bits, 64)
    back = Quantised.restore(
        made.sections("x"), "x", 200, bits=bits, group=64, exponent=made.grid.exponent
    )
    assert torch.equal(back.decode(), made.decode())


def test_the_quantiser_agrees_with_its_formula_group_by_group():
    values = torch.randn(2, 96, generator=torch.Generator().manual_seed(2))
    grid = fit_grid(values, 3, 32)
    for row in range(2):
        for group in range(3):
            x = values[row, 32 * group : 32 * (group + 1)].numpy()
            low, high = min(x.min(), 0.0), max(x.max(), 0.0)
            scale = float(grid.scales[row, group])
            assert scale == pytest.approx((high - low) / 7, rel=1e-3)
            assert scale >= np.float32((high - low) / 7) * (1 - 1e-6)
            zero = float(grid.zeros[row, group])
            assert zero == round(-low / scale)


def test_sixteen_bits_keep_three_digits_at_any_scale():
    for scale in (1e-12, 1.0, 1e8):
        values = torch.randn(4, 50) * scale
        made = Floats.round(values, 16)
        assert float((made.decode() - values).norm() / values.norm()) < 1e-3
        back = Floats.restore(made.sections("v"), "v", bits=16, exponent=made.exponent)
        assert torch.equal(back.decode(), made.decode())
