"""Means, covariances and draws, against numpy and against theory."""

import numpy as np
import pytest
import torch

from franken.init_method import FallbackRule, apply_map
from franken.token_map.normal_rows import standard_normal
from franken.token_map.options import Fallback
from franken.token_map.row_sources import MemoryRows
from franken.token_map.source_statistics import (
    SourceStatistics,
    statistics_of,
    statistics_once,
)
from tests.init_method.tiny import hand_made_map

FALLBACK = 3


@pytest.fixture
def source():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(12, 12, generator=generator)
    return torch.randn(9000, 12, generator=generator) @ mixing + 3.0


def drawn_rows(source, rule, count=6000, **options):
    token_map = hand_made_map(
        [{}] * count, [FALLBACK] * count, source_rows=len(source), fallback=rule, **options
    )
    return apply_map(token_map, source)


def test_statistics_equal_numpy_over_the_rows_that_count(source):
    wanted = torch.arange(len(source)) % 3 > 0
    found = SourceStatistics(MemoryRows(source), wanted)
    rows = source[wanted].double().numpy()
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.std, rows.std(0), rtol=1e-5)
    np.testing.assert_allclose(found.covariance, np.cov(rows.T, ddof=0), rtol=1e-4, atol=1e-4)
    assert found.mean_norm == pytest.approx(np.linalg.norm(rows, axis=1).mean(), rel=1e-6)
    assert found.mean_std == pytest.approx(rows.std(0).mean(), rel=1e-5)


@pytest.mark.parametrize("case", ["full rank", "fewer rows than columns", "doubled column", "zero"])
def test_the_root_of_the_covariance_squares_to_it_at_any_rank(source, case):
    matrix = {
        "full rank": source,
        "fewer rows than columns": source[:5],
        "doubled column": torch.cat([source, source[:, :1]], dim=1),
        "zero": torch.ones(20, 6),
    }[case]
    found = SourceStatistics(MemoryRows(matrix), torch.ones(len(matrix), dtype=torch.bool))
    root = found.covariance_root.double()
    assert torch.allclose(root @ root.T, found.covariance, rtol=1e-4, atol=1e-4)
    assert bool(torch.isfinite(root).all())


@pytest.mark.parametrize("dead", [0, 2], ids=["full rank", "dead columns"])
def test_draws_of_the_covariance_are_the_same_at_any_number_of_threads(dead):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(9000, 300, generator=generator) @ torch.randn(300, 300, generator=generator)
    rows[:, :dead] = 0
    before, roots = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = SourceStatistics(MemoryRows(rows), torch.ones(9000, dtype=torch.bool))
            roots.append(found.covariance_root)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*roots)


def test_normal_rows_have_the_mean_and_deviation_of_the_source(source):
    drawn = drawn_rows(source, FallbackRule(Fallback.normal, seed=1)).double()
    mean, std = source.double().mean(0), source.double().std(0, correction=0)
    assert bool(((drawn.mean(0) - mean).abs() < 4 * std / len(drawn) ** 0.5).all())
    assert torch.allclose(drawn.std(0), std, rtol=0.05)
    # Dimensions are independent, unlike those of the source.
    correlation = torch.corrcoef(drawn.T) - torch.eye(12)
    assert correlation.abs().max() < 0.08
    assert (torch.corrcoef(source.T) - torch.eye(12)).abs().max() > 0.3


@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_multivariate_rows_have_the_scaled_covariance_of_the_source(source, scale):
    drawn = drawn_rows(source, FallbackRule(Fallback.multivariate, scale, 1)).double()
    mean = source.double().mean(0)
    found = torch.cov((drawn - mean).T) / scale
    expected = torch.cov(source.double().T)
    assert (found - expected).norm() / expected.norm() < 0.1


def test_a_draw_depends_on_seed_key_and_purpose_only():
    keys = [b"a", b"b", b"c"]
    drawn = standard_normal(keys, 8, seed=0, purpose="fallback/input")
    again = standard_normal([b"c", b"a"], 8, seed=0, purpose="fallback/input")
    assert torch.equal(again, drawn[[2, 0]])
    others = [
        standard_normal(keys, 8, seed=1, purpose="fallback/input"),
        standard_normal(keys, 8, seed=0, purpose="fallback/output"),
        drawn[[1, 2, 0]],
    ]
    assert all(bool((drawn != other).all()) for other in others)


def test_a_draw_is_the_same_on_every_machine():
    """Written down once: a change here changes every artefact that draws."""
    drawn = standard_normal([b"text\x1f nyumba"], 3, seed=0, purpose="fallback/input")
    assert drawn[0].tolist() == pytest.approx(RECORDED, abs=1e-6)


RECORDED = [-0.650003, -0.970744, -0.630505]


def test_mean_rows_leave_old_tokens_their_probability():
    """Jensen: n mean rows get at most n / (V + n) of the mass, for any hidden state.

    The hidden state makes all old logits strongly negative, where rows near zero would take all.
    """
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(32, generator=generator)
    direction /= direction.norm()
    old = torch.randn(2000, 32, generator=generator) * 0.3 + 3 * direction
    count = 200
    for hidden in (-8 * direction, torch.randn(32, generator=generator), 5 * direction):
        for rule, factor in (
            (FallbackRule(), 1.0),
            (FallbackRule(Fallback.multivariate, 1e-5), 1.1),
        ):
            new = drawn_rows(old, rule, count)
            mass = torch.softmax(torch.cat([old, new]) @ hidden, 0)[2000:].sum()
            assert mass <= factor * count / (2000 + count)
    zeros = torch.zeros(count, 32)
    assert torch.softmax(torch.cat([old, zeros]) @ (-8 * direction), 0)[2000:].sum() > 0.9


def test_statistics_of_the_same_rows_are_made_once_in_a_block(source):
    rows, every = MemoryRows(source), torch.ones(len(source), dtype=torch.bool)
    with statistics_once():
        found = statistics_of(rows, every)
        with statistics_once():
            assert statistics_of(MemoryRows(source), every) is found
        assert statistics_of(rows, every.clone()) is not found
        assert statistics_of(MemoryRows(source.clone()), every) is not found
    assert statistics_of(rows, every) is not found
