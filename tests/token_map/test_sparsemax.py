"""Sparsemax over the cosines to all anchors: against dense float64, other tiles and formats."""

import numpy as np
import pytest
import torch

from franken.errors import CompatibilityError
from franken.token_map import sparsemax as searching
from franken.token_map.sparsemax import sparsemax, sparsemax_neighbours
from tests.faults import raises
from tests.init_method.spaces import projected_on_simplex
from tests.token_map.test_neighbours import cosines, vectors


def test_sparsemax_by_hand() -> None:
    # z = (0.6, 0.3, 0.2, -1): support 3, threshold (1.1 - 1) / 3
    weights = sparsemax(torch.tensor([0.3, -1.0, 0.6, 0.2], dtype=torch.float64))
    expected = torch.tensor([0.8, 0, 1.7, 0.5], dtype=torch.float64) / 3
    torch.testing.assert_close(weights, expected, atol=1e-15, rtol=0)


def test_sparsemax_is_the_projection_on_the_simplex_and_ignores_shifts() -> None:
    scores = torch.from_numpy(np.random.default_rng(3).normal(0, 0.4, (60, 80)))
    weights = sparsemax(scores)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(60, dtype=torch.float64))
    expected = np.stack([projected_on_simplex(row) for row in scores.numpy()])
    np.testing.assert_allclose(weights.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(sparsemax(scores + 1234.5), weights, atol=1e-10, rtol=0)


def test_entries_of_minus_infinity_take_no_part() -> None:
    scores = torch.tensor([[0.5, -torch.inf, 0.4], [-torch.inf, 2.0, -torch.inf]])
    expected = torch.tensor([[0.55, 0.0, 0.45], [0.0, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(sparsemax(scores), expected, atol=1e-7, rtol=0)


def test_sparsemax_agrees_with_entmax() -> None:
    entmax = pytest.importorskip("entmax")
    scores = vectors(50, 90).double()
    torch.testing.assert_close(
        sparsemax(scores), entmax.sparsemax(scores, dim=-1), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize(("temperature", "cap"), [(1.0, 2), (0.3, 5), (1.0, 4000), (30.0, 16)])
def test_truncated_sparsemax_is_the_full_one_for_any_cap(temperature: float, cap: int) -> None:
    queries, anchors = vectors(90), vectors(600, seed=1)
    found = sparsemax_neighbours(queries, anchors, temperature=temperature, cap=cap, chunk_rows=40)
    dense = torch.zeros(90, 600, dtype=torch.float64)
    dense[found.rows, found.columns] = torch.from_numpy(found.weights)
    full = sparsemax(cosines(queries, anchors) / temperature)
    torch.testing.assert_close(dense, full, atol=1e-6, rtol=0)
    assert (np.diff(found.rows) >= 0).all()
    assert (found.weights > 0).all()
    assert set(found.rows) == set(range(90))


def test_a_uniform_world_has_every_anchor_in_the_support() -> None:
    found = sparsemax_neighbours(torch.ones(2, 3), torch.ones(700, 3), cap=8)
    np.testing.assert_allclose(found.weights, 1 / 700, atol=1e-6)
    assert np.bincount(found.rows).tolist() == [700, 700]


@pytest.mark.parametrize("wide", [8, 10**9], ids=["some", "all"])
def test_weights_depend_neither_on_the_first_format_nor_on_tiles(
    wide: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_WIDE", wide)
    queries, anchors = vectors(300), vectors(2003, seed=1)
    queries[7] = -anchors.mean(0) * 1000  # near to none, so that its support is wide
    whole = sparsemax_neighbours(queries, anchors, temperature=0.3)
    for dtype in (torch.bfloat16, torch.float32):
        for chunk_rows in (37, 300):
            found = sparsemax_neighbours(
                queries, anchors, temperature=0.3, chunk_rows=chunk_rows, dtype=dtype
            )
            np.testing.assert_array_equal(found.rows, whole.rows)
            np.testing.assert_array_equal(found.columns, whole.columns)
            np.testing.assert_array_equal(found.weights, whole.weights)


def test_those_that_bfloat16_cannot_tell_apart_are_told_apart() -> None:
    width, temperature = 64, 1e-3
    near = torch.ones(900, width) + 0.03 * vectors(900, width)
    queries = torch.ones(40, width) + 0.03 * vectors(40, width, seed=1)
    assert len(set(cosines(queries, near).bfloat16().flatten().tolist())) < 4
    found = sparsemax_neighbours(queries, near, temperature=temperature, dtype=torch.bfloat16)
    dense = torch.zeros(40, 900, dtype=torch.float64)
    dense[found.rows, found.columns] = torch.from_numpy(found.weights)
    full = sparsemax(cosines(queries, near) / temperature)
    error = width * torch.finfo(torch.float32).eps / temperature
    torch.testing.assert_close(dense, full, atol=error, rtol=0)


def test_no_anchors_and_no_queries() -> None:
    with raises(CompatibilityError, "sparsemax_neighbours", "anchors"):
        sparsemax_neighbours(vectors(2), vectors(0))
    assert len(sparsemax_neighbours(vectors(0), vectors(0)).rows) == 0
