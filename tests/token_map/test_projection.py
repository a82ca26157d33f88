"""The least-squares kernel against the published regression, numpy and hand-worked examples."""

import numpy as np
import pytest
import scipy.linalg
import torch

from franken.errors import CompatibilityError
from franken.token_map import projection
from franken.token_map.projection import (
    Support,
    dense_weights,
    orthogonal_weights,
    projection_weights,
)
from tests.faults import raises


def rows(count: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) + 0.2


def supports(sizes: list[int], anchors: int, seed: int = 1) -> Support:
    generator = np.random.default_rng(seed)
    chosen = [generator.permutation(anchors)[:size] for size in sizes]
    return Support(np.r_[0, np.cumsum(sizes)].astype(np.int64), np.concatenate(chosen))


def of_token(support: Support, weights: np.ndarray, token: int) -> tuple[np.ndarray, np.ndarray]:
    part = slice(support.indptr[token], support.indptr[token + 1])
    return support.columns[part], weights[part]


WIDTH, SOURCE = 24, 10
SIZES = [1, 5, 5, 23, 24, 25, 40, 60, 0, 5]
"""Fewer anchors than dimensions, as many, more, and none."""


@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 1 << 26])
def test_weights_are_the_published_map_without_the_map(chunk_bytes: int) -> None:
    """Eq. 3: ``X = pinv(E'_t) E'_s`` and the new row is ``e X``."""
    tokens, anchors = rows(len(SIZES), WIDTH), rows(80, WIDTH, seed=2)
    source = rows(80, SOURCE, seed=3)
    support = supports(SIZES, 80)
    weights = projection_weights(tokens, anchors, support, chunk_bytes=chunk_bytes)
    for token, size in enumerate(SIZES):
        columns, found = of_token(support, weights, token)
        if size:
            linear = np.linalg.pinv(anchors[columns].numpy()) @ source[columns].numpy()
            expected = tokens[token].numpy() @ linear
            actual = found @ source[columns].numpy()
            np.testing.assert_allclose(actual, expected, atol=1e-12 * np.abs(expected).max())


def test_few_anchors_project_and_many_reproduce_the_token() -> None:
    tokens, anchors = rows(len(SIZES), WIDTH), rows(80, WIDTH, seed=2)
    support = supports(SIZES, 80)
    weights = projection_weights(tokens, anchors, support)
    for token, size in enumerate(SIZES):
        columns, found = of_token(support, weights, token)
        if not size:
            continue
        chosen = anchors[columns].numpy()
        residual = tokens[token].numpy() - found @ chosen
        np.testing.assert_allclose(chosen @ residual, 0, atol=1e-10)
        if size >= WIDTH:
            np.testing.assert_allclose(residual, 0, atol=1e-10)


def test_one_anchor_by_hand_keeps_the_sign_of_the_cosine() -> None:
    tokens = torch.tensor([[-1.0, 1.0]])
    anchors = torch.tensor([[2.0, 0.0]])
    support = Support(np.array([0, 1]), np.array([0]))
    assert projection_weights(tokens, anchors, support).tolist() == [-0.5]


@pytest.mark.parametrize("rcond", [1e-10, 1e-4, 1e-2])
def test_near_duplicates_are_cut_off_as_numpy_does(rcond: float) -> None:
    tokens, anchors = rows(1, WIDTH), rows(6, WIDTH, seed=2)
    anchors[5] = anchors[0] * (1 + 1e-9) + 1e-6 * anchors[1]
    anchors[4] = anchors[3] + 1e-3 * anchors[2]
    support = Support(np.array([0, 6]), np.arange(6))
    found = projection_weights(tokens, anchors, support, rcond=rcond)
    expected = tokens[0].numpy() @ np.linalg.pinv(anchors.numpy(), rcond=rcond)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_exact_duplicates_share_the_weight() -> None:
    anchors = rows(3, WIDTH)[[0, 1, 1, 2]]
    weights = projection_weights(anchors[1:2], anchors, Support(np.array([0, 4]), np.arange(4)))
    np.testing.assert_allclose(weights, [0, 0.5, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize("size", [5, 40])
def test_a_ridge_is_that_of_the_normal_equations_and_knows_no_scale(size: int) -> None:
    tokens, anchors = rows(1, WIDTH), rows(size, WIDTH, seed=2)
    support = Support(np.array([0, size]), np.arange(size))
    found = projection_weights(tokens, anchors, support, ridge=0.3)
    gram = (anchors @ anchors.T).numpy()
    penalty = 0.3 * np.trace(gram) / size
    expected = np.linalg.solve(gram + penalty * np.eye(size), (anchors @ tokens[0]).numpy())
    np.testing.assert_allclose(found, expected, atol=1e-12)
    scaled = projection_weights(tokens * 50, anchors * 50, support, ridge=0.3)
    np.testing.assert_allclose(scaled, found, atol=1e-12)


@pytest.mark.parametrize("size", [6, 40])
def test_a_centred_fit_ignores_a_common_offset_and_the_plain_one_does_not(size: int) -> None:
    tokens, anchors = rows(1, WIDTH), rows(size, WIDTH, seed=2)
    support = Support(np.array([0, size]), np.arange(size))
    offset = 3 * torch.ones(WIDTH, dtype=torch.float64)
    centred = [
        projection_weights(tokens + o, anchors + o, support, center=True) for o in (0, offset)
    ]
    np.testing.assert_allclose(centred[0], centred[1], atol=1e-10)
    assert centred[0].sum() == pytest.approx(1, abs=1e-12)
    plain = [projection_weights(tokens + o, anchors + o, support) for o in (0, offset)]
    assert np.abs(plain[0] - plain[1]).max() > 1e-3
    # the affine fit on both sides, written out
    mean = anchors.mean(0)
    source = rows(size, SOURCE, seed=3)
    linear = (
        np.linalg.pinv((anchors - mean).numpy(), rcond=1e-10) @ (source - source.mean(0)).numpy()
    )
    expected = (tokens[0] - mean).numpy() @ linear + source.mean(0).numpy()
    np.testing.assert_allclose(centred[0] @ source.numpy(), expected, atol=1e-10)


def test_importance_is_the_weighted_regression_and_matters_past_the_width_only() -> None:
    for size in (8, 40):
        tokens, anchors = rows(1, WIDTH), rows(size, WIDTH, seed=2)
        share = np.random.default_rng(0).uniform(0.1, 1, size)
        support = Support(np.array([0, size]), np.arange(size))
        found = projection_weights(tokens, anchors, support, importance=share)
        root = np.sqrt(share)
        expected = tokens[0].numpy() @ np.linalg.pinv(root[:, None] * anchors.numpy()) * root
        np.testing.assert_allclose(found, expected, atol=1e-11)
        plain = projection_weights(tokens, anchors, support)
        assert bool(np.abs(found - plain).max() > 1e-3) is (size > WIDTH)


@pytest.mark.parametrize(
    "options", [{}, {"ridge": 0.2}, {"center": True}, {"ridge": 0.1, "center": True}]
)
@pytest.mark.parametrize("count", [9, 50])
def test_all_anchors_at_once_are_the_same_weights(count: int, options: dict) -> None:
    tokens, anchors = rows(7, WIDTH), rows(count, WIDTH, seed=2)
    support = Support(np.arange(8) * count, np.tile(np.arange(count), 7))
    one_by_one = projection_weights(tokens, anchors, support, **options).reshape(7, count)
    defaults = {"rcond": 1e-10, "ridge": 0.0, "center": False}
    together = dense_weights(tokens, anchors, **(defaults | options))
    np.testing.assert_allclose(together, one_by_one, atol=1e-9)


def test_dense_weights_that_would_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "DENSE_LIMIT", 100)
    with raises(CompatibilityError, 21, 5, 100, "max_anchors"):
        dense_weights(rows(21, 4), rows(5, 4), rcond=0.0, ridge=0.0, center=False)


def test_supports_of_tables_leave_empty_places_out() -> None:
    support = Support.of_table(torch.tensor([[3, 1, -1], [-1, -1, -1], [2, -1, -1]]))
    assert support.indptr.tolist() == [0, 2, 2, 3]
    assert support.columns.tolist() == [3, 1, 2]
    assert support.rows.tolist() == [0, 0, 2]


def test_weights_agree_with_mergekit() -> None:
    peer = pytest.importorskip("mergekit.tokensurgeon.common_interpolation")
    tokens, anchors = rows(12, WIDTH).float(), rows(80, WIDTH, seed=2).float()
    support = supports([8] * 12, 80)
    points = anchors[torch.from_numpy(support.columns).view(12, 8)]
    expected = peer.approximate_from_landmarks(
        tokens, points, torch.ones(12, 8), peer.WeightingScheme.LEAST_SQUARES
    )
    found = projection_weights(tokens, anchors, support).reshape(12, 8)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize(("helper", "width"), [(32, 64), (64, 64), (128, 64)])
def test_the_scale_of_a_rotation_is_the_best_one_whichever_side_is_wider(
    helper: int, width: int
) -> None:
    """Against scipy's rotation and the minimum of ``|s A Q - B|`` over s."""
    generator = torch.Generator().manual_seed(0)
    a, b, queries = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((300, helper), (300, width), (5, helper))
    )
    left, _, right = scipy.linalg.svd((a.T @ b).numpy(), full_matrices=False)
    rotation = torch.from_numpy(left @ right)
    turned = a @ rotation
    scale = (turned * b).sum() / turned.square().sum()
    found = torch.from_numpy(orthogonal_weights(queries, a, b, rcond=1e-12)) @ b
    torch.testing.assert_close(found, scale * queries @ rotation, rtol=1e-9, atol=1e-9)


def test_products_in_float32_are_refined_to_float64() -> None:
    anchors, wanted = rows(40 * 9, WIDTH, seed=4).view(40, 9, WIDTH), rows(40, WIDTH, seed=5)
    found, certain = projection._by_products(anchors, wanted, None, 1e-10, torch.float32)
    assert bool(certain.all())
    expected = [
        np.linalg.lstsq(a.T.numpy(), w.numpy())[0] for a, w in zip(anchors, wanted, strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=10 * projection._STILL)


def test_a_condition_beyond_float32_is_left_to_float64() -> None:
    anchors, wanted = rows(2 * 4, WIDTH, seed=4).view(2, 4, WIDTH), rows(2, WIDTH, seed=5)
    anchors[1, 3] = anchors[1, 2] + 1e-3 * anchors[1, 3]
    _, by_single = projection._by_products(anchors, wanted, None, 1e-10, torch.float32)
    found, by_double = projection._by_products(anchors, wanted, None, 1e-10, torch.float64)
    assert by_single.tolist() == [True, False]
    assert by_double.tolist() == [True, True]
    expected = np.linalg.lstsq(anchors[1].T.numpy(), wanted[1].numpy())[0]
    np.testing.assert_allclose(found[1], expected, rtol=1e-9)
