"""CLP, CLP+ and interpolation among near tokens, row by row against their formulas."""

from dataclasses import replace

import pytest
import torch

from franken.errors import CompatibilityError
from franken.init_method import Provenance
from franken.init_method.clp import ClpInit
from franken.init_method.clp_plus import ClpPlusInit
from franken.init_method.local_least_squares import LocalLeastSquaresInit, LocalWeights
from franken.init_method.omp import OmpInit
from franken.token_map import projection
from franken.token_map.options import Fallback, Metric
from franken.token_map.sparsemax import sparsemax
from tests.bounds import one_error
from tests.faults import raises
from tests.init_method.donor import (
    KIND,
    alike,
    anchor_pairs,
    computed_ids,
    helper_table,
    make,
)
from tests.init_method.tiny import target_tokenizer

TARGET = target_tokenizer(KIND)
HELPER = alike(helper_table(TARGET).input, TARGET)


def dense(token_map, weights: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """``(n, S)`` from weights over anchors; anchors of one source row add up."""
    table = torch.zeros(len(weights), token_map.source_rows, dtype=torch.float64)
    return table.index_add_(1, columns, weights)


def of_map(token_map) -> torch.Tensor:
    ids = computed_ids(token_map)
    table = torch.zeros(len(ids), token_map.source_rows, dtype=torch.float64)
    for place, row in enumerate(ids):
        for column, weight in token_map.row(row):
            table[place, column] = weight
    return table


def cosines(token_map) -> tuple[torch.Tensor, torch.Tensor]:
    shared, columns = anchor_pairs(token_map)
    unit = torch.nn.functional.normalize(HELPER.double(), dim=1)
    return unit[computed_ids(token_map)] @ unit[shared].T, columns


@pytest.mark.parametrize("parity", [False, True])
def test_clp_weighs_all_shared_tokens_by_their_cosine(parity: bool) -> None:
    _, _, token_map = make(ClpInit(parity=parity), rows=HELPER)
    found, columns = cosines(token_map)
    expected = dense(token_map, found / found.sum(1, keepdim=True), columns)
    scale = expected.abs().amax(1, keepdim=True)
    torch.testing.assert_close(of_map(token_map) / scale, expected / scale, atol=1e-4, rtol=0)
    assert bool((expected < 0).any())
    sums = of_map(token_map).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-4, rtol=0)


def test_clp_with_few_anchors_keeps_those_of_the_largest_absolute_cosine() -> None:
    _, _, token_map = make(ClpInit(max_anchors=20), rows=HELPER)
    found, columns = cosines(token_map)
    kept = found.abs().topk(20, dim=1).indices
    chosen = torch.zeros_like(found).scatter_(1, kept, found.gather(1, kept))
    expected = dense(token_map, chosen / chosen.sum(1, keepdim=True), columns)
    assert bool((chosen < 0).any())
    same = (of_map(token_map) - expected).abs().amax(1) < 1e-3 * expected.abs().amax(1)
    assert same.double().mean() > 0.9  # a tie at the last place may go either way


def test_vanishing_sums_follow_the_fallback_and_explode_with_parity() -> None:
    """A helper centred on its shared tokens: cosines nearly cancel."""
    shared, _ = anchor_pairs(make(ClpInit())[2])
    centred = HELPER - HELPER[shared].mean(0)
    _, _, guarded = make(ClpInit(min_sum=0.004), rows=centred)
    _, _, released = make(ClpInit(parity=True), rows=centred)
    lost = guarded.notes["vanishing_sums"]
    assert 3 < lost < len(computed_ids(released))
    assert guarded.counts()["fallback"] == lost
    wildest = [made.notes["weights"][0]["max_abs_weight"] for made in (guarded, released)]
    assert wildest[1] > 2 * wildest[0]


@pytest.mark.parametrize("least", [0.02, 0.05, ClpInit().min_sum])
def test_absolute_weights_sum_to_no_more_than_the_guard_allows(least: float) -> None:
    _, _, free = make(ClpInit(min_sum=0.0), rows=HELPER)
    _, _, guarded = make(ClpInit(min_sum=least), rows=HELPER)
    assert float(of_map(free).abs().sum(1).max()) > 1 / least
    assert float(of_map(guarded).abs().sum(1).max()) <= 1 / least + 1e-3
    assert 0 < len(computed_ids(guarded)) < len(computed_ids(free))


def test_clp_parity_is_refused_where_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "DENSE_LIMIT", 1000)
    with raises(CompatibilityError, "max_anchors"):
        make(ClpInit(parity=True))
    make(ClpInit(max_anchors=5))


def test_near_uniform_weights_make_all_rows_alike() -> None:
    """A known weakness of CLP, and what sparsemax is for."""
    similar = HELPER + 20
    _, table, token_map = make(ClpInit(), rows=similar)
    rows = torch.nn.functional.normalize(table.input[computed_ids(token_map)], dim=1)
    assert float((rows @ rows.T).mean()) > 0.99
    assert token_map.notes["row_lengths"]["computed_over_source"] < 0.6


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_clp_plus_is_the_sparsemax_of_the_cosines(temperature: float) -> None:
    _, _, token_map = make(ClpPlusInit(temperature=temperature), rows=HELPER)
    found, columns = cosines(token_map)
    expected = dense(token_map, sparsemax(found / temperature), columns)
    torch.testing.assert_close(of_map(token_map), expected, atol=1e-5, rtol=0)
    assert bool((token_map.weights >= 0).all())
    worst = float((of_map(token_map).sum(1) - 1).abs().max())
    assert worst <= one_error(int(token_map.sizes().max()))


def test_clp_plus_rows_are_no_longer_than_the_longest_source_row() -> None:
    source, table, token_map = make(ClpPlusInit())
    longest = source.input[token_map.exemplars].norm(dim=1).max()
    assert bool((table.input[computed_ids(token_map)].norm(dim=1) <= longest * (1 + 1e-6)).all())


def nearest(token_map, k: int, metric: Metric) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Numbers of the nearest anchors, their closeness, and the source rows of all anchors."""
    shared, columns = anchor_pairs(token_map)
    rows, anchors = HELPER[computed_ids(token_map)].double(), HELPER[shared].double()
    far = torch.cdist(rows, anchors)
    scores = -far if metric is Metric.euclidean else cosines(token_map)[0]
    best = scores.topk(k, dim=1)
    return best.indices, best.values, columns


@pytest.mark.parametrize("metric", list(Metric))
def test_interpolation_by_proximity(metric: Metric) -> None:
    config = LocalLeastSquaresInit(k=4, metric=metric, weights=LocalWeights.proximity)
    _, _, token_map = make(config, rows=HELPER)
    best, scores, columns = nearest(token_map, 4, metric)
    near = -1 / scores if metric is Metric.euclidean else scores
    table = torch.zeros(len(best), len(columns), dtype=torch.float64)
    table.scatter_(1, best, near / near.sum(1, keepdim=True))
    same = (of_map(token_map) - dense(token_map, table, columns)).abs().amax(1) < 1e-4
    assert same.double().mean() > 0.9  # twins at the last place may go either way


def test_neighbours_that_point_away_have_no_part_in_proximity() -> None:
    """All anchors are neighbours here, so about half of the cosines are negative."""
    config = LocalLeastSquaresInit(
        k=10_000, metric=Metric.cosine, weights=LocalWeights.proximity, fallback=Fallback.normal
    )
    shared, columns = anchor_pairs(make(config, rows=HELPER)[2])
    rows = alike(torch.randn(HELPER.shape, generator=torch.Generator().manual_seed(1)), TARGET)
    rows[shared] = rows[shared].abs()
    before = make(config, rows=rows)[2]
    opposite = computed_ids(before)[0]
    rows[opposite] = -rows[shared].mean(0).abs()
    token_map = make(config, rows=rows)[2]
    assert token_map.provenance[opposite] == Provenance.fallback
    assert token_map.notes["without_weight"] == before.notes["without_weight"] + 1
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    near = (unit[computed_ids(token_map)] @ unit[shared].T).clamp(min=0)
    expected = dense(token_map, near / near.sum(1, keepdim=True), columns)
    assert float((near == 0).double().mean()) > 0.2
    torch.testing.assert_close(of_map(token_map), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("weights", [LocalWeights.least_squares, LocalWeights.barycentric])
def test_local_least_squares_is_the_best_of_its_kind(weights: LocalWeights) -> None:
    config = LocalLeastSquaresInit(k=6, weights=weights)
    _, _, token_map = make(config, rows=HELPER)
    shared, columns = anchor_pairs(token_map)
    helper_of = dict(zip(columns.tolist(), shared.tolist(), strict=True))
    for row in computed_ids(token_map)[:40]:
        pairs = token_map.row(row)
        anchors = HELPER[[helper_of[column] for column, _ in pairs]].double()
        found = torch.tensor([weight for _, weight in pairs], dtype=torch.float64)
        residual = HELPER[row].double() - found @ anchors
        if weights is LocalWeights.barycentric:
            assert float(found.sum()) == pytest.approx(1, abs=1e-5)
            anchors = anchors - anchors.mean(0)  # moves that keep the sum
        torch.testing.assert_close(
            anchors @ residual, torch.zeros(len(pairs), dtype=torch.float64), atol=2e-5, rtol=0
        )


def test_omp_reproduces_a_token_with_as_many_atoms_as_dimensions() -> None:
    """Then the new row is the same sum of source rows that the token is of helper rows."""
    _, _, token_map = make(OmpInit(k=64), rows=HELPER)
    assert token_map.notes["weights"][0]["anchors_per_token"]["max"] <= HELPER.shape[1]
    shared, columns = anchor_pairs(token_map)
    helper_of = dict(zip(columns.tolist(), shared.tolist(), strict=True))
    for row in computed_ids(token_map)[:40]:
        total = sum(weight * HELPER[helper_of[column]] for column, weight in token_map.row(row))
        torch.testing.assert_close(total, HELPER[row], atol=1e-3, rtol=1e-3)


def test_the_fallback_is_an_option() -> None:
    rows = HELPER.clone()
    _, _, token_map = make(ClpPlusInit())
    lost = computed_ids(token_map)[:5]
    rows[lost] = 0
    config = replace(ClpPlusInit(), fallback=Fallback.subtoken_mean)
    _, _, token_map = make(config, rows=rows)
    assert (token_map.provenance[lost] == Provenance.fallback).all()
    assert all(token_map.row(row) for row in lost)
