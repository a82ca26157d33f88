import numpy as np
import pytest

from franken.data.shuffle import EndlessOrder, permute


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 1000, 65_537])
def test_permutation_is_a_bijection(count: int) -> None:
    places = permute(np.arange(count, dtype=np.int64), count, seed=3)
    assert sorted(places.tolist()) == list(range(count))


def test_points_agree_with_the_whole() -> None:
    whole = permute(np.arange(1000, dtype=np.int64), 1000, seed=1)
    some = np.array([999, 0, 17], dtype=np.int64)
    assert permute(some, 1000, seed=1).tolist() == whole[some].tolist()


def test_large_counts_need_no_table() -> None:
    places = permute(np.array([0, 1, 10**9 - 1], dtype=np.int64), 10**9, seed=0)
    assert len(set(places.tolist())) == 3
    assert places.max() < 10**9


def test_order_is_shuffled_and_depends_on_seed() -> None:
    first = permute(np.arange(2000, dtype=np.int64), 2000, seed=1)
    other = permute(np.arange(2000, dtype=np.int64), 2000, seed=2)
    assert abs(np.corrcoef(np.arange(2000), first)[0, 1]) < 0.1
    assert (first != other).mean() > 0.99
    assert np.abs(np.diff(first)).mean() > 500  # neighbours do not stay neighbours


@pytest.mark.parametrize("count", [1, 7, 3000])
def test_every_epoch_holds_every_record_once(count: int) -> None:
    order = EndlessOrder(count, seed=5)
    epochs = [[order[e * count + n] for n in range(count)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    if count > 5:
        assert epochs[0] != epochs[1]


def test_access_out_of_turn_gives_the_same_records() -> None:
    forward = [EndlessOrder(50, 0)[n] for n in range(120)]
    order = EndlessOrder(50, 0)
    assert [order[n] for n in reversed(range(120))] == forward[::-1]
