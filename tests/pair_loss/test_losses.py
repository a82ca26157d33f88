"""Losses on pairs, against slow versions in numpy and values worked out by hand."""

import math

import numpy as np
import pytest
import torch

from franken.pair_loss.base import PairStates
from franken.pair_loss.middle_alignment import MiddleAlignment, Still

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
