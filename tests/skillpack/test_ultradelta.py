"""UltraDelta: levels, shares of each, shares of each matrix; and places by Elias-Fano."""

import math

import numpy as np
import pytest
import torch

from franken.config.pack import ClassRule, PackConfig
from franken.parts.forms import LevelsForm, SparseForm, encoded_bytes, form_bytes
from franken.skillpack.changes import Residual, encode
from franken.skillpack.levels import draw_by_level, share_by_deviation
from franken.skillpack.policy import Plan, allotted

SHAPE = (40, 50)


def change(seed=0):
    values = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    values[3:6] = 0
    return values


def plan_of(name="layer.weight", *, density=0.2, bits=4, **options):
    rule = ClassRule(op="ultradelta", bits=bits, density=density, options=options)
    return Plan(name, SHAPE, "mlp", "matrices", rule)


def rounded(values, bits):
    """To the nearest of ``2^bits`` values from the least to the largest, by looking at each."""
    kept = values[values != 0]
    levels = torch.linspace(float(kept.min()), float(kept.max()), 2**bits, dtype=torch.float64)
    nearest = (values.double()[..., None] - levels).abs().argmin(-1)
    return torch.where(values != 0, levels[nearest].float(), values)


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_all_entries_kept_are_the_nearest_levels_and_zeros_stay(rows):
    values = change()
    drawn = draw_by_level(lambda: iter(values.split(rows)), 3, values.numel(), 0)
    found = LevelsForm.encode(SHAPE, drawn.places, drawn.codes, drawn.levels).decode()
    torch.testing.assert_close(found, rounded(values, 3))
    assert drawn.share == 1.0
    assert not found[3:6].any()


@pytest.mark.parametrize("rows", [1, 7, 40])
def test_every_level_keeps_the_same_share(rows):
    values = change()
    drawn = draw_by_level(lambda: iter(values.split(rows)), 4, 555, 0)
    everything = draw_by_level(lambda: iter([values]), 4, values.numel(), 0)
    of_all = np.bincount(everything.codes.numpy(), minlength=16)
    kept = np.bincount(drawn.codes.numpy(), minlength=16)
    assert np.abs(kept - of_all * drawn.share).max() <= 0.5
    assert drawn.share == 555 / float((values != 0).sum())
    assert bool((drawn.places.diff() > 0).all())
    torch.testing.assert_close(
        drawn.levels[drawn.codes.long()], rounded(values, 4).flatten()[drawn.places]
    )


def test_the_mean_over_draws_is_the_rounded_change_times_gamma():
    values, total = change()[:20], torch.zeros(20, 50)
    for seed in range(60):
        drawn = draw_by_level(lambda: iter([values]), 4, 500, seed)
        found = LevelsForm.encode((20, 50), drawn.places, drawn.codes, drawn.levels / drawn.share)
        total += found.decode()
    expected = rounded(values, 4)
    # of 850 changed entries 500 are kept: the mean of 60 draws is off by 0.11 of the value
    assert float((total / 60 - expected).norm() / expected.norm()) < 0.13
    slope = float((total / 60 * expected).sum() / expected.square().sum())
    assert slope == pytest.approx(1, rel=0.01)


def test_a_share_of_all_entries_makes_those_of_rows_that_changed_too_large():
    found = {}
    for rescale in ("layer", "global"):
        plan = plan_of(density=0.5, gamma=0.5, rescale=rescale)
        found[rescale] = encode(Residual(change()), plan, PackConfig()).form.decode()
    # 37 of 40 rows changed, so that a share of 0.5 of all is one of 0.54 of theirs
    torch.testing.assert_close(found["global"], found["layer"] * 40 / 37)
    kept = found["global"] != 0
    torch.testing.assert_close(found["global"][kept], rounded(change(), 4)[kept])  # 0.5 / 0.5


def test_matrices_of_wider_spread_keep_more_and_the_total_stays():
    matrices = [(100, 3.0), (200, 1.0), (100, 2.0), (50, 5.0), (150, 4.0)]
    shares = share_by_deviation(matrices, 0.1, 0.02, 0.01)
    assert shares[:3] == pytest.approx([0.1, 0.08, 0.1])  # 200, 300 and 400 of 600 are passed
    assert shares[3] == shares[4] == pytest.approx((60 - 16 - 20) / 200)
    assert sum(n * s for (n, _), s in zip(matrices, shares, strict=True)) == pytest.approx(60)
    assert share_by_deviation(matrices, 0.01, 0.0, 0.0) == pytest.approx([0.01] * 5)


def test_a_class_is_shared_out_among_its_own_tensors_alone():
    plans = [plan_of(name) for name in ("a", "b", "c")]
    other = Plan("d", SHAPE, "table", "embed", ClassRule(op="prune", density=0.2))
    spread = {"a": 3.0, "b": 1.0, "c": 2.0}  # that of "d" is never asked for
    found = allotted([*plans[:2], other, plans[2]], lambda plan: spread[plan.name])
    assert [plan.name for plan in found] == ["a", "b", "d", "c"]
    densities = [plan.rule.density for plan in found]
    assert densities == pytest.approx([0.21, 0.19, 0.2, 0.2])
    assert [plan.asked_density for plan in found] == [0.2, 0.2, None, 0.2]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"step": -0.1}, "options.step"), ({"gamma": 0}, "options.gamma"),
        ({"rescale": "none"}, "options.rescale"), ({"sparsity": 0.9}, "options"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(options, key):
    rule = ClassRule(op="ultradelta", bits=4, options=options)
    assert [found for found, _ in rule.faults()] == [key]


@pytest.mark.parametrize("count", [0, 1, 30, 900])
def test_elias_fano_is_near_the_least_that_random_places_need(count):
    shape, size = (300, 100), 30000
    places = np.sort(np.random.default_rng(count).permutation(size)[:count])
    form = SparseForm.encode(
        shape, torch.from_numpy(places), torch.ones(count), bits=32, index="elias_fano"
    )
    assert form_bytes(form.describe()) == encoded_bytes(form).numel()
    taken = 8 * (encoded_bytes(form).numel() - 4 * count)
    least = math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)
    assert least / math.log(2) <= taken <= least / math.log(2) + 0.6 * count + 32
