"""Losses on pairs, against slow versions in numpy and values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from franken.pair_loss.base import PairStates
from franken.pair_loss.lens import Lens, subspaces
from franken.pair_loss.middle_alignment import MiddleAlignment, Still
from franken.pair_loss.ppa import Ppa
from franken.pair_loss.tada import Tada
from franken.pair_loss.unibridge import Unibridge

NONE = torch.zeros(0)


def states_of(first, second, languages=None, reference=None):
    numbers = torch.zeros(len(first), dtype=torch.long) if languages is None else languages
    return PairStates(first, second, numbers, *(reference or (NONE, NONE)))


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def value(option, states, prepared=None, parts=None):
    return sum(option.loss(states, prepared or {}, parts).values())


def slow_contrast(anchors, others, temperature):
    total = 0.0
    for i, anchor in enumerate(anchors):
        shares = []
        for other in others:
            cosine = anchor @ other / np.sqrt((anchor @ anchor) * (other @ other))
            shares.append(math.exp(cosine / temperature))
        total -= math.log(shares[i] / sum(shares))
    return total / len(anchors)


@pytest.mark.parametrize("both_ways", [False, True])
def test_middle_alignment_is_the_contrast_over_the_batch(both_ways):
    first, second = drawn(5, 4), drawn(5, 4, seed=1)
    found = value(MiddleAlignment(both_ways=both_ways), states_of(first, second))
    wanted = slow_contrast(first.numpy(), second.numpy(), 0.1)
    if both_ways:
        wanted = (wanted + slow_contrast(second.numpy(), first.numpy(), 0.1)) / 2
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_equal_sides_far_from_the_others_have_the_least_contrast():
    far = torch.eye(3)
    least = math.log(1 + 2 * math.exp(-10))
    assert float(value(MiddleAlignment(), states_of(far, 5 * far))) == pytest.approx(
        least, rel=1e-3
    )
    assert value(MiddleAlignment(), states_of(far, far[[1, 2, 0]])) > 3.0


@pytest.mark.parametrize("still", list(Still))
def test_no_gradient_reaches_the_side_that_keeps_still(still):
    sides = [drawn(3, 4, seed=seed).requires_grad_() for seed in (0, 1)]
    value(MiddleAlignment(still=still), states_of(*sides)).backward()
    moved = [side.grad is not None and bool(side.grad.abs().sum()) for side in sides]
    assert moved == [still is not Still.first, still is not Still.second]


def test_the_latin_forms_contrast_is_over_all_sentences_of_both_forms():
    first, second = drawn(3, 4), drawn(3, 4, seed=1)
    for cosine in (False, True):
        both = np.concatenate([first.numpy(), second.numpy()]).astype(np.float64)
        if cosine:
            both /= np.linalg.norm(both, axis=1, keepdims=True)
        total = 0.0
        for i in range(6):
            shares = {j: math.exp(both[i] @ both[j] / 2.0) for j in range(6) if j != i}
            total -= math.log(shares[(i + 3) % 6] / sum(shares.values()))
        found = value(Ppa(temperature=2.0, cosine=cosine), states_of(first, second))
        assert float(found) == pytest.approx(total / 6, rel=1e-5)


def test_tada_is_the_distance_to_the_standard_and_a_critic_that_is_worked_against():
    option = Tada(critic=0.5, keep=2.0)
    first, standard = drawn(4, 6, seed=1), drawn(4, 6, seed=2)
    second = drawn(4, 6).requires_grad_()
    critic = option.parts(6)
    states = states_of(first, second, reference=(standard, NONE))
    terms = option.loss(states, {}, critic)
    distance = ((second - standard) ** 2).sum() / 4
    kept = 2 * ((first - standard) ** 2).sum() / 4
    told = [torch.sigmoid(critic(side)[:, 0]) for side in (standard, second)]
    wanted = -(told[0].log().sum() + (1 - told[1]).log().sum()) / 4
    for name, one in {"tada": distance, "keep": kept, "critic": wanted}.items():
        torch.testing.assert_close(terms[name], one)
    (backwards,) = torch.autograd.grad(terms["critic"], second, retain_graph=True)
    (forwards,) = torch.autograd.grad(wanted, second)
    torch.testing.assert_close(backwards, -0.5 * forwards)
    assert Tada(critic=0.0).parts(6) is None


def means_of(count=4, width=6, seed=3):
    return drawn(width, count, seed=seed) + 1.0


def test_subspaces_are_those_of_the_released_probe():
    means = means_of()
    shared, specific = subspaces(means)
    columns, ones = means.numpy().astype(np.float64), np.ones(4)
    wanted = np.linalg.pinv(columns).T @ ones
    wanted /= (wanted**2).sum()
    left, _, _ = np.linalg.svd(columns - np.outer(wanted, ones))
    np.testing.assert_allclose(shared, wanted, rtol=1e-4)
    np.testing.assert_allclose(
        (specific @ specific.T).numpy(), left[:, :3] @ left[:, :3].T, atol=1e-5
    )
    assert (specific.T @ shared).abs().max() < 1e-5


def test_lens_has_three_errors_and_none_where_nothing_is_asked():
    option = Lens(push=0.5, shared=2.0, retain=3.0)
    languages = torch.tensor([0, 0, 1, 1, 1])
    before = drawn(5, 6), drawn(5, 6, seed=1) + languages[:, None]
    prepared = option.prepare(*before, languages)
    w, m = prepared["shared"].numpy(), prepared["specific"].numpy()
    now = drawn(5, 6, seed=5), drawn(5, 6, seed=6)
    terms = option.loss(states_of(*now, languages, before), prepared, None)
    first, second, old_first, old_second = (side.numpy() for side in (*now, *before))
    shared, specific, mark = np.outer(w, w), m @ m.T, languages.numpy()
    retain = 3 * ((first - old_first) ** 2).mean()
    meeting = 2 * ((first @ shared - second @ shared) ** 2).mean()
    moved = 0.0
    for row in range(5):
        own = mark == mark[row]
        difference = (old_second[own].mean(0) - old_first[own].mean(0)) @ specific
        moved += (((second - old_second)[row] @ specific - 0.5 * difference) ** 2).mean() / 5
    for name, wanted in {"retain": retain, "shared": meeting, "specific": moved}.items():
        assert float(terms[name]) == pytest.approx(wanted, rel=1e-4)
    still = Lens(push=0.0, shared=0.0).loss(states_of(*before, languages, before), prepared, None)
    assert float(sum(still.values())) == 0.0


def test_unibridges_term_is_the_divergence_from_the_base():
    trained, base = drawn(3, 5), drawn(3, 5, seed=1)
    states = states_of(trained, trained, reference=(base, base))
    total = 0.0
    for row in range(3):
        p, q = (np.exp(side[row].numpy().astype(np.float64)) for side in (base, trained))
        p, q = p / p.sum(), q / q.sum()
        total += (p * np.log(p / q)).sum() / 3
    assert float(value(Unibridge(), states)) == pytest.approx(total, rel=1e-4)
    assert float(value(Unibridge(), states_of(base, base, reference=(base, base)))) == 0.0
