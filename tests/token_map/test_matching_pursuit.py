"""Matching pursuit against a plain greedy loop with a fresh least squares at every step."""

import numpy as np
import pytest
import torch

from franken.token_map.matching_pursuit import pursue
from franken.token_map.projection import projection_weights
from tests.token_map.test_projection import of_token, rows


def greedy(token: np.ndarray, anchors: np.ndarray, k: int, normalise: bool) -> list[int]:
    chosen: list[int] = []
    residual = token
    for _ in range(k):
        scores = np.abs(anchors @ residual)
        if normalise:
            scores = scores / np.linalg.norm(anchors, axis=1)
        scores[chosen] = -1
        chosen.append(int(scores.argmax()))
        weights, *_ = np.linalg.lstsq(anchors[chosen].T, token, rcond=None)
        residual = token - weights @ anchors[chosen]
    return chosen


@pytest.mark.parametrize("normalise", [False, True])
def test_the_greedy_choice_and_its_least_squares(normalise: bool) -> None:
    tokens, anchors = rows(30, 16), rows(200, 16, seed=2)
    anchors *= torch.linspace(0.2, 3, 200, dtype=torch.float64)[:, None]
    support = pursue(tokens, anchors, 6, normalise=normalise)
    weights = projection_weights(tokens, anchors, support)
    for token in range(30):
        columns, found = of_token(support, weights, token)
        expected = greedy(tokens[token].numpy(), anchors.numpy(), 6, normalise)
        assert columns.tolist() == expected
        solved, *_ = np.linalg.lstsq(anchors[columns].numpy().T, tokens[token].numpy(), rcond=None)
        np.testing.assert_allclose(found, solved, atol=1e-10)


def test_the_residual_never_grows_with_k() -> None:
    tokens, anchors = rows(20, 16), rows(100, 16, seed=2)
    before = tokens.norm(dim=1).numpy()
    for k in (1, 2, 5, 10, 16):
        support = pursue(tokens, anchors, k)
        weights = projection_weights(tokens, anchors, support)
        matrix = torch.zeros(20, 100, dtype=torch.float64)
        matrix[support.rows, support.columns] = torch.from_numpy(weights)
        residual = (tokens - matrix @ anchors).norm(dim=1).numpy()
        assert (residual <= before + 1e-12).all()
        before = residual
    np.testing.assert_allclose(before, 0, atol=1e-6)


def test_no_more_atoms_than_dimensions_or_anchors() -> None:
    support = pursue(rows(5, 8), rows(100, 8, seed=2), 64)
    assert np.diff(support.indptr).max() <= 8
    weights = projection_weights(rows(5, 8), rows(100, 8, seed=2), support)
    assert np.abs(weights).max() < 100  # as released, past D coefficients reach 1e15
    assert np.diff(pursue(rows(5, 8), rows(3, 8, seed=2), 64).indptr).tolist() == [3] * 5


def test_a_token_of_the_dictionary_returns_itself_alone() -> None:
    anchors = rows(50, 16)
    anchors /= anchors.norm(dim=1, keepdim=True)
    support = pursue(anchors[7:9] * 3, anchors, 10)
    assert support.columns.tolist() == [7, 8]
    np.testing.assert_allclose(projection_weights(anchors[7:9] * 3, anchors, support), 3)


def test_a_long_atom_comes_first_unless_directions_are_compared() -> None:
    tokens, anchors = rows(20, 16), rows(50, 16, seed=2)
    anchors[13] *= 1e6
    assert (pursue(tokens, anchors, 1).columns == 13).all()
    assert (pursue(tokens, anchors, 1, normalise=True).columns == 13).mean() < 0.5


def test_the_dependent_atom_of_a_poor_dictionary_is_not_taken() -> None:
    anchors = rows(2, 16)[[0, 1, 1, 0]]
    support = pursue(rows(6, 16, seed=5), anchors, 4)
    assert np.diff(support.indptr).tolist() == [2] * 6


def test_no_choice_depends_on_the_chunk() -> None:
    tokens, anchors = rows(70, 16), rows(100, 16, seed=2)
    whole = pursue(tokens, anchors, 6)
    for chunk_rows in (1, 33):
        assert np.array_equal(
            pursue(tokens, anchors, 6, chunk_rows=chunk_rows).columns, whole.columns
        )


@pytest.mark.parametrize("normalise", [False, True])
def test_of_some_rows_of_a_table_as_of_a_table_of_them(normalise: bool) -> None:
    tokens, table = rows(30, 16), rows(200, 16, seed=2)
    among = np.flatnonzero(np.arange(200) % 3)
    found = pursue(tokens, table, 6, among=among, normalise=normalise)
    alone = pursue(tokens, table[torch.from_numpy(among)], 6, normalise=normalise)
    assert np.array_equal(found.columns, among[alone.columns])
    assert np.array_equal(found.indptr, alone.indptr)
    assert pursue(tokens, table, 6, among=among[:2]).indptr.tolist() == list(range(0, 61, 2))


def test_zero_tokens_take_nothing() -> None:
    assert len(pursue(torch.zeros(2, 16), rows(10, 16), 3).columns) == 0


def test_choice_agrees_with_mergekit() -> None:
    peer = pytest.importorskip("mergekit.tokensurgeon.omp")
    tokens, anchors = rows(12, 24).float(), rows(80, 24, seed=2).float()
    columns, coefficients = peer.batch_omp(tokens, anchors, 6)
    support = pursue(tokens, anchors, 6)
    assert support.columns.reshape(12, 6).tolist() == columns.tolist()
    found = projection_weights(tokens, anchors, support).reshape(12, 6)
    np.testing.assert_allclose(found, coefficients.numpy(), atol=1e-4)
