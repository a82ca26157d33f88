"""landmark_pca: one rotation for all tokens, and its weights over few landmarks."""

import numpy as np
import pytest
import torch

from franken.errors import CompatibilityError
from franken.init_method import Provenance, initialise
from franken.init_method.landmark_pca import LandmarkPcaInit, landmark_rows
from franken.token_map import projection
from franken.token_map.projection import affine_weights
from tests.faults import raises
from tests.init_method.donor import (
    KIND,
    alike,
    anchor_pairs,
    donor_resources,
    helper_table,
    make,
)
from tests.init_method.spaces import rotation
from tests.init_method.tiny import source_table, target_tokenizer


def spaces(noise: float, *, size: int = 12, shared: int = 200, new: int = 50):
    """Helper rows, source rows: the helper's turned, stretched and moved, with noise."""
    generator = torch.Generator().manual_seed(1)
    helper = torch.randn(shared + new, size, generator=generator).double()
    helper *= torch.linspace(2, 0.5, size)  # axes that differ in strength
    turn = torch.linalg.qr(rotation("landmarks", size).double())[0]
    source = 3 * helper @ turn + 1.5
    source += noise * torch.randn(source.shape, generator=generator)
    return helper[shared:], helper[:shared], source[:shared], source[shared:]


def relative_error(found, wanted):
    return float((found - wanted).norm() / (wanted - wanted.mean(0)).norm())


def test_a_rotated_scaled_and_moved_space_is_found_exactly():
    queries, helper, source, wanted = spaces(0.0)
    found = landmark_rows(queries, helper, source, scale=True, transposed=False)
    torch.testing.assert_close(found, wanted)


def test_noise_degrades_it_smoothly_and_the_released_rotation_further():
    errors = {}
    for noise in (0.25, 0.5, 1.0):
        queries, helper, source, wanted = spaces(noise)
        for transposed in (False, True):
            found = landmark_rows(queries, helper, source, scale=True, transposed=transposed)
            errors[noise, transposed] = relative_error(found, wanted)
        assert errors[noise, False] < 0.3 * noise
        assert errors[noise, False] < errors[noise, True]


def test_no_other_rotation_with_scale_fits_the_landmarks_better():
    """Against random steps away from it, in spaces that no rotation joins."""
    generator = torch.Generator().manual_seed(2)
    helper, source = torch.randn(2, 60, 6, generator=generator).double().unbind()
    fitted = landmark_rows(helper, helper, source, scale=True, transposed=False)
    least = (fitted - source).square().sum()
    for _ in range(20):
        draw = torch.randn(6, 6, generator=generator).double() * 0.1
        step = torch.linalg.matrix_exp(draw - draw.T)
        other = (fitted - source.mean(0)) @ step + source.mean(0)
        assert (other - source).square().sum() > least


def test_weights_sum_to_one_and_give_the_very_rows_from_few_landmarks():
    queries, helper, source, _ = spaces(0.5)
    rows = landmark_rows(queries, helper, source, scale=True, transposed=False)
    kept, weights = affine_weights(rows, source)
    assert weights.shape == (50, 13)
    assert len(set(kept.tolist())) == 13
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-9)
    torch.testing.assert_close(torch.from_numpy(weights) @ source[torch.from_numpy(kept)], rows)


def test_landmarks_of_a_plane_need_three():
    generator = torch.Generator().manual_seed(3)
    plane = torch.randn(40, 2, generator=generator).double() @ torch.randn(2, 9).double() + 1.0
    kept, weights = affine_weights(plane[:5] * 0.5 + plane[5:10] * 0.5, plane)
    assert len(kept) == 3
    made = torch.from_numpy(weights) @ plane[torch.from_numpy(kept)]
    torch.testing.assert_close(made, plane[:5] * 0.5 + plane[5:10] * 0.5)


@pytest.mark.parametrize("size", [8, 12, 20], ids=["narrower", "as wide", "wider"])
def test_the_table_has_the_rows_of_the_equation(size):
    target = target_tokenizer(KIND)
    rows = alike(helper_table(target, size=size).input, target)
    source, table, token_map = make(LandmarkPcaInit(), rows=rows)
    shared, columns = anchor_pairs(token_map)
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten()
    expected = landmark_rows(
        rows[computed].double(), rows[shared].double(), source.input[columns].double(),
        scale=True, transposed=False,
    )  # fmt: skip
    torch.testing.assert_close(table.input[computed].double(), expected, atol=1e-4, rtol=1e-4)


def test_too_many_weights_are_refused(monkeypatch):
    monkeypatch.setattr(projection, "DENSE_LIMIT", 100)
    target = target_tokenizer(KIND)
    with raises(CompatibilityError, 100):
        initialise(source_table(KIND), target, LandmarkPcaInit(), donor_resources(target), 0)
