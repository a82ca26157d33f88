"""Clustered errors, intervals and paired tests, against simulation and scipy."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from franken.statistics import (
    Units,
    clustered_stderr,
    compare,
    influences,
    mcnemar,
    normal_interval,
    pseudo_values,
    ratio,
    wilson_interval,
)
from franken.statistics.intervals import effective_trials, is_extreme
from tests.faults import raises


def shares(answers, prefix=""):
    return Units.of([f"{prefix}{at}" for at in range(len(answers))], answers)


def test_without_clusters_the_error_is_the_known_formula():
    draw = random.Random(0)
    right = [float(draw.random() < 0.7) for _ in range(50)]
    p = sum(right) / 50
    found = clustered_stderr(influences([shares(right)]))
    assert found == pytest.approx(stats.sem(right))
    assert found == pytest.approx(math.sqrt(p * (1 - p) / 49))


def test_the_same_answers_in_three_languages_and_seeds_are_one_set_of_items():
    """Nine copies of 300 answers say no more than one."""
    draw = random.Random(1)
    right = [float(draw.random() < 0.6) for _ in range(300)]
    one = clustered_stderr(influences([shares(right)]))
    nine = clustered_stderr(influences([shares(right)] * 9))
    assert one == pytest.approx(0.028, abs=0.001)
    assert nine == pytest.approx(one)


def test_independent_items_in_several_languages_add_up():
    draw = random.Random(2)
    parts = [shares([float(draw.random() < 0.5) for _ in range(200)], f"l{n}-") for n in range(4)]
    errors = [clustered_stderr(influences([part])) for part in parts]
    expected = math.hypot(*errors) / 4
    assert clustered_stderr(influences(parts)) == pytest.approx(expected, rel=0.01)


def test_intervals_of_clustered_answers_hold_the_truth_as_often_as_they_say():
    """400 draws of 150 items in 3 languages whose answers depend on the item's difficulty."""
    draw = np.random.default_rng(0)
    held = naive = 0
    for _ in range(400):
        ease = draw.beta(1.0, 1.0, size=150)  # the true accuracy is 1/2
        right = draw.random((3, 150)) < ease
        parts = [shares(row.astype(float)) for row in right]
        value = right.mean()
        stderr = clustered_stderr(influences(parts))
        low, high = normal_interval(value, stderr)
        held += low <= 0.5 <= high
        low, high = normal_interval(value, math.sqrt(value * (1 - value) / 450))
        naive += low <= 0.5 <= high
    assert held / 400 == pytest.approx(0.95, abs=0.025)
    assert naive / 400 < 0.9


def test_questions_about_one_passage_are_one_cluster():
    right = [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    passages = [0, 0, 1, 1, 2, 2, 3, 3]
    units = Units.of(range(8), right, clusters=passages)
    assert clustered_stderr(influences([units])) == pytest.approx(stats.sem([1.0, 0.0, 1.0, 0.0]))


def test_the_error_of_a_ratio_matches_a_bootstrap():
    draw = random.Random(0)
    sizes = [draw.randint(20, 200) for _ in range(300)]
    bits = [size * draw.gauss(2.0, 0.3) for size in sizes]
    units = Units.of(range(300), bits, sizes)
    assert ratio(units) == pytest.approx(sum(bits) / sum(sizes))
    resampled = []
    for _ in range(1000):
        chosen = [draw.randrange(300) for _ in range(300)]
        resampled.append(sum(bits[i] for i in chosen) / sum(sizes[i] for i in chosen))
    assert clustered_stderr(influences([units])) == pytest.approx(np.std(resampled), rel=0.1)


@pytest.mark.parametrize(("right", "trials"), [(0, 300), (300, 300), (1, 20), (150, 300)])
def test_wilsons_interval_is_scipys(right, trials):
    expected = stats.binomtest(right, trials).proportion_ci(method="wilson")
    found = wilson_interval(right / trials, trials)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_all_right_is_not_without_error_and_clusters_count_as_one_trial_each():
    units = [shares([1.0] * 300)] * 3
    trials = effective_trials(1.0, clustered_stderr(influences(units)), 300)
    assert trials == 300
    assert is_extreme(1.0, trials)
    assert wilson_interval(1.0, trials)[0] == pytest.approx(0.9874, abs=1e-4)
    assert effective_trials(0.5, 0.05, 10) == pytest.approx(100)
    assert not is_extreme(0.5, 100)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (8, 1), (30, 12), (3, 3), (500, 420)])
def test_mcnemars_test_is_scipys_binomial_test(better, worse):
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert mcnemar(better, worse) == pytest.approx(expected)


def test_two_systems_are_compared_item_by_item():
    """Eight of ten differing items go one way: clear when paired, nothing when not."""
    first = [1.0] * 250 + [0.0] * 50
    second = [1.0] * 250 + [1.0] * 12 + [0.0] * 38
    found = compare({0: [shares(first)]}, {0: [shares(second)]})
    assert (found.better, found.worse, found.test) == (12, 0, "McNemar")
    assert found.value == pytest.approx(12 / 300)
    assert found.p == pytest.approx(stats.binomtest(12, 12).pvalue)
    assert found.clear
    gaps = [b - a for a, b in zip(first, second, strict=True)]
    assert found.stderr == pytest.approx(stats.sem(gaps))
    unpaired = math.hypot(stats.sem(first), stats.sem(second))
    assert found.value < 1.96 * unpaired


def test_the_paired_bootstrap_agrees_with_the_paired_t_test():
    draw = np.random.default_rng(3)
    first = draw.normal(2.0, 0.5, size=120)
    for shift, clear in ((0.0, False), (0.05, True)):
        second = first + shift + draw.normal(0.0, 0.15, size=120)
        found = compare({0: [shares(first)]}, {0: [shares(second)]})
        assert found.test == "bootstrap"
        assert found.p == pytest.approx(stats.ttest_rel(second, first).pvalue, abs=0.03)
        assert found.clear is clear
    sizes = [3.0] * 120
    one, two = (Units.of(range(120), side * 3, sizes) for side in (first, second))
    assert compare({0: [one]}, {0: [two]}).value == pytest.approx((second - first).mean())


def test_seeds_have_a_test_of_their_own():
    draw = random.Random(4)
    base = [float(draw.random() < 0.5) for _ in range(400)]
    better = [1.0 if draw.random() < 0.2 else value for value in base]
    steady = {seed: [shares(base)] for seed in range(3)}
    shaky = {0: [shares(better)], 1: [shares(base)], 2: [shares([1 - v for v in better])]}
    found = compare(steady, shaky)
    gaps = [ratio(shaky[s][0]) - ratio(steady[s][0]) for s in range(3)]
    assert found.seeds == pytest.approx(np.std(gaps, ddof=1))
    assert found.seed_p == pytest.approx(stats.ttest_1samp(gaps, 0.0).pvalue)
    assert not found.clear
    assert compare(steady, {seed: [shares(better)] for seed in range(3)}).clear


def test_nothing_in_common_is_not_compared():
    assert compare({0: [shares([1.0, 0.0])]}, {0: [shares([1.0, 0.0], "x")]}) is None
    assert compare({}, {0: [shares([1.0, 0.0])]}) is None


def test_pseudo_values_of_a_mean_are_its_items():
    counts = np.array([[1.0, 2.0], [4.0, 1.0], [3.0, 5.0]])
    found = pseudo_values(counts[:, :1], lambda total: total[0] / 3)
    assert len(found) == 3
    values = np.array([1.0, 4.0, 3.0])
    whole = pseudo_values(np.column_stack([values, np.ones(3)]), lambda total: total[0] / total[1])
    assert whole == pytest.approx(values)


def test_units_survive_a_file_and_columns_must_fit():
    units = Units.of([1, "b"], [1, 0], [2, 3], ["p", "p"])
    assert Units.from_json(units.to_json()) == units
    with raises(ValueError, 2, {"above": 1}):
        Units.of([1, 2], [1.0])
