"""The neighbour kernel against dense float64, against itself in other tiles, and against theory."""

import numpy as np
import pytest
import torch

from franken.errors import CompatibilityError
from franken.token_map import neighbours
from franken.token_map.neighbours import nearest_rows, softmax_weights, top_neighbours
from tests.bounds import sum_error
from tests.faults import raises


def vectors(count: int, width: int = 24, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def cosines(queries: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    unit = [side.double() / side.double().norm(dim=1, keepdim=True) for side in (queries, anchors)]
    return unit[0] @ unit[1].T


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_the_nearest_are_those_of_a_dense_search(metric: str) -> None:
    queries, anchors = vectors(150), vectors(400, seed=1)
    if metric == "cosine":
        dense = cosines(queries, anchors)
    elif metric == "dot":
        dense = queries.double() @ anchors.double().T
    else:
        dense = -(queries.double()[:, None] - anchors.double()[None]).norm(dim=2)
    columns, scores = top_neighbours(queries, anchors, 9, metric=metric)
    expected = dense.sort(dim=1, descending=True)
    # By their scores: which of two nearly equal ones comes first is a matter of float32.
    largest = (queries.abs() @ anchors.abs().T).max() if metric != "cosine" else 1.0
    swapped = 2 * sum_error(queries.shape[1], largest)
    chosen = dense.gather(1, columns)
    torch.testing.assert_close(chosen, expected.values[:, :9], atol=swapped, rtol=0)
    assert all(len(set(row)) == 9 for row in columns.tolist())
    torch.testing.assert_close(scores.double(), expected.values[:, :9], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("chunk_rows", [1, 130, 300, 4096])
def test_no_bit_depends_on_the_chunk(chunk_rows: int) -> None:
    queries, anchors = vectors(301), vectors(777, seed=1)
    whole = top_neighbours(queries, anchors, 12)
    tiled = top_neighbours(queries, anchors, 12, chunk_rows=chunk_rows)
    alone = top_neighbours(queries[200:207], anchors, 12, chunk_rows=chunk_rows)
    for one, other, part in zip(whole, tiled, alone, strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one[200:207], part)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tile_rows", [128, 256, 5000])
def test_tiles_of_a_table_find_the_rows_that_the_whole_finds(tile_rows: int, dtype) -> None:
    queries, table = vectors(140).to(dtype), vectors(1000, seed=1).to(dtype)
    rows = torch.arange(1000)[torch.arange(1000) % 3 != 0]
    whole, _ = top_neighbours(queries, table[rows], 12)
    assert torch.equal(nearest_rows(queries, table, rows, 12, tile_rows=tile_rows), rows[whole])


def test_equal_rows_of_several_tiles_come_in_order_and_k_is_bounded() -> None:
    table = torch.eye(3).repeat(4, 1)
    rows = torch.arange(1, 12)
    found = nearest_rows(torch.eye(3), table, rows, 3, tile_rows=4)
    assert found.tolist() == [[3, 6, 9], [1, 4, 7], [2, 5, 8]]
    assert nearest_rows(torch.eye(3), table, rows, 50, tile_rows=4).shape == (3, 11)
    assert nearest_rows(torch.eye(3), table, rows[:0], 5).shape == (3, 0)


def test_a_table_is_never_in_float32_as_a_whole(monkeypatch) -> None:
    tallest = []

    def spying(rows: torch.Tensor) -> torch.Tensor:
        tallest.append(len(rows))
        return rows.norm(dim=1, keepdim=True)

    monkeypatch.setattr(neighbours, "norms", spying)
    nearest_rows(vectors(10), vectors(1000, seed=1), torch.arange(1000), 3, tile_rows=128)
    assert max(tallest) == 128


def test_equal_anchors_come_in_the_order_of_their_numbers_and_k_is_bounded() -> None:
    anchors = torch.eye(3).repeat(4, 1)
    columns, scores = top_neighbours(torch.eye(3), anchors, 50)
    assert columns[1].tolist() == [1, 4, 7, 10, 0, 2, 3, 5, 6, 8, 9, 11]
    assert scores[1].tolist() == [1.0] * 4 + [0.0] * 8


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_some_rows_of_larger_matrices_are_as_good_as_copies_of_them(metric: str) -> None:
    queries, anchors = vectors(300), vectors(500, seed=1)
    asked, offered = torch.arange(0, 300, 3), torch.arange(1, 500, 2)
    copies = top_neighbours(queries[asked], anchors[offered], 7, metric=metric)
    before = anchors.clone()
    found = top_neighbours(
        queries, anchors, 7, metric=metric, query_rows=asked, anchor_rows=offered, chunk_rows=16
    )
    assert torch.equal(found[0], copies[0])
    assert torch.equal(found[1], copies[1])
    assert torch.equal(anchors, before)


def test_zero_vectors_have_cosine_zero() -> None:
    anchors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    columns, scores = top_neighbours(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), anchors, 3)
    assert columns[0].tolist() == [1, 0, 2]
    assert scores.tolist() == [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]


def test_softmax_by_hand() -> None:
    weights = softmax_weights(torch.tensor([[0.2, 0.1]]), 0.1)
    assert weights[0, 0].item() == pytest.approx(np.e / (np.e + 1), abs=1e-7)


def test_what_cannot_be_compared_is_refused() -> None:
    with raises(CompatibilityError, 8, 5):
        top_neighbours(vectors(2, 8), vectors(2, 5), 1)
    with raises(CompatibilityError, "anchors", "NaN"):
        top_neighbours(vectors(2), vectors(2) * torch.nan, 1)
    with raises(CompatibilityError, "metric", "'manhattan'", "cosine, dot"):
        top_neighbours(vectors(2), vectors(2), 1, metric="manhattan")
