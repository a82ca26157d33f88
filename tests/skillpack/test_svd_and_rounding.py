"""Decompositions, GPTQ and the refit (graftllm notes, invariants 3, 4, 5, 8, 9, 10)."""

import pytest
import torch

from franken.config.pack import QuantOptions, SvdMethod, SvdOptions
from franken.parts.forms import LowRankForm
from franken.skillpack.gptq import quantise_group, solve
from franken.skillpack.refit import refit_sigma
from franken.skillpack.svd import (
    by_gram,
    choose_method,
    energy_rank,
    factorise,
    full,
    randomized,
)
from tests.skillpack.pairs import lowrank_noise


def error(delta, left, sigma, right):
    return float((delta - (left * sigma) @ right).double().norm())


@pytest.mark.parametrize("method", [full, by_gram])
def test_the_tail_of_the_spectrum_is_the_error(method):
    delta = lowrank_noise(90, 60, decay=0.7)
    squares = torch.linalg.svdvals(delta.double()).square()
    factors = method(delta)
    errors = []
    for rank in (1, 5, 20, 59):
        cut = factors.cut(rank)
        found = error(delta, cut.left, cut.sigma, cut.right) ** 2
        assert found == pytest.approx(float(squares[rank:].sum()), rel=1e-4)
        errors.append(found)
        random = torch.linalg.qr(torch.randn(90, rank)).Q
        assert found <= float((delta - random @ (random.T @ delta)).double().norm()) ** 2
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("shape", [(70, 40), (40, 70)])
def test_full_rank_gives_the_matrix_back(shape):
    delta = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    for method in (full, by_gram):
        found = method(delta)
        relative = error(delta, found.left, found.sigma, found.right) / float(delta.norm())
        assert relative <= 1e-5


@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_the_randomised_error_is_within_two_percent_of_the_best(decay):
    delta = lowrank_noise(600, 400, decay=decay)
    rank = 32
    found = randomized(delta, rank, oversample=10, power=2, seed=3)
    best = float(torch.linalg.svdvals(delta)[rank:].double().square().sum().sqrt())
    assert best <= error(delta, found.left, found.sigma, found.right) * (1 + 1e-5)
    assert error(delta, found.left, found.sigma, found.right) <= 1.02 * best
    without = randomized(delta, rank, oversample=10, power=0, seed=3)
    assert error(delta, without.left, without.sigma, without.right) > 1.02 * best


def test_a_name_fixes_the_draw_whatever_came_before():
    delta, other = lowrank_noise(80, 80), lowrank_noise(80, 80, seed=9)
    options = SvdOptions(method=SvdMethod.randomized)
    first = factorise(delta, 8, options, name="a")
    factorise(other, 8, options, name="b")
    again = factorise(delta, 8, options, name="a")
    assert torch.equal(first.left, again.left)
    assert torch.equal(first.sigma, again.sigma)
    assert not torch.equal(first.left, factorise(delta, 8, options, name="c").left)


def test_the_measured_excess_is_the_true_one():
    delta = lowrank_noise(200, 150, decay=0.5)
    options = SvdOptions(method=SvdMethod.randomized, measure_excess=True, power=0)
    found = factorise(delta, 20, options, name="x")
    best = float(torch.linalg.svdvals(delta)[20:].double().square().sum().sqrt())
    true = error(delta, found.left, found.sigma, found.right) / best - 1
    assert found.excess == pytest.approx(true, rel=1e-3)


def test_the_method_follows_size_and_rank():
    assert choose_method(4096, 4096, 64, SvdMethod.auto) is SvdMethod.randomized
    assert choose_method(4096, 4096, 1000, SvdMethod.auto) is SvdMethod.gram
    assert choose_method(128, 4096, 8, SvdMethod.auto) is SvdMethod.full


def test_the_energy_rule_takes_the_fewest_directions():
    sigma = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])  # squares 16, 9, 4, 1 of 30
    assert energy_rank(sigma, 16 / 30 - 1e-6) == 1
    assert energy_rank(sigma, 16 / 30 + 1e-6) == 2
    assert energy_rank(sigma, 0.96) == 3
    assert energy_rank(sigma, 0.97) == 4
    assert energy_rank(sigma, 1.0) == 4  # the numerical rank
    assert energy_rank(torch.zeros(5), 0.9) == 0
    spread = torch.rand(50, generator=torch.Generator().manual_seed(2)).sort(descending=True).values
    squares = spread.double().square()
    ranks = [energy_rank(spread, share / 20) for share in range(1, 20)]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) > 10
    for share, rank in enumerate(ranks, 1):
        assert float(squares[:rank].sum() / squares.sum()) >= share / 20
        assert float(squares[: rank - 1].sum() / squares.sum()) < share / 20


def correlated(columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(columns, columns, generator=generator) * torch.linspace(2, 0.05, columns)
    inputs = torch.randn(2000, columns, generator=generator) @ mixing.T
    return inputs.T @ inputs / 2000


def rounded(weight, hessian, bits, **options):
    from franken.parts.forms.quantised import fit_grid

    grid, found = fit_grid(weight, bits, 32), torch.empty_like(weight)

    def column(index, values):
        found[:, index] = grid.column_values(grid.column_codes(values, index), index)
        return found[:, index]

    solve(weight, hessian, column, **options)
    return found, grid.decode(grid.codes(weight))


@pytest.mark.parametrize("act_order", [True, False])
def test_gptq_with_equal_inputs_is_plain_rounding(act_order):
    weight = torch.randn(12, 96, generator=torch.Generator().manual_seed(4))
    found, plain = rounded(weight, 3.7 * torch.eye(96), 3, act_order=act_order)
    assert torch.equal(found, plain)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_gptq_lowers_the_error_that_inputs_see_and_raises_the_plain_one(bits):
    weight = torch.randn(24, 96, generator=torch.Generator().manual_seed(5))
    hessian = correlated(96)
    found, plain = rounded(weight, hessian, bits)

    def seen(values):
        rest = (values - weight).double()
        return float((rest @ hessian.double() * rest).sum())

    assert seen(found) < 0.9 * seen(plain)
    assert float((found - weight).norm()) > float((plain - weight).norm())


def test_both_stages_of_gptq_beat_rounding_on_the_product():
    delta, hessian = lowrank_noise(64, 96, decay=0.5), correlated(96)
    factors = full(delta).cut(24)
    options = QuantOptions(group=32)
    group = quantise_group(factors.left, factors.sigma, factors.right, hessian, 3, options)
    ours = LowRankForm((64, 96), factors.sigma, [group], 32).decode()
    plain = LowRankForm.encode(
        factors.left, factors.sigma, factors.right, [(3, 24)], group_size=32
    ).decode()
    target = (factors.left * factors.sigma) @ factors.right

    def seen(values):
        rest = (values - target).double()
        return float((rest @ hessian.double() * rest).sum())

    assert seen(ours) < seen(plain)


@pytest.mark.parametrize("schedule", [[(8, 2), (3, 6), (2, 24)], [(2, 32)], [(4, 16)]])
@pytest.mark.parametrize("decay", [0.5, 1.0])
def test_the_refit_never_raises_the_error_and_is_idempotent(schedule, decay):
    delta = lowrank_noise(96, 130, decay=decay)
    factors = full(delta).cut(sum(count for _, count in schedule))
    form = LowRankForm.encode(factors.left, factors.sigma, factors.right, schedule, group_size=32)
    once = refit_sigma(form, delta)
    before, after = (float((delta - f.decode()).norm()) for f in (form, once))
    assert after <= before
    if any(bits == 2 for bits, _ in schedule):
        assert after < 0.98 * before
    twice = refit_sigma(once, delta)
    torch.testing.assert_close(twice.sigma, once.sigma, rtol=1e-6, atol=0)


def test_the_refit_solves_the_normal_equations():
    delta = lowrank_noise(40, 30)
    factors = full(delta).cut(8)
    form = refit_sigma(
        LowRankForm.encode(factors.left, factors.sigma, factors.right, [(3, 8)]), delta
    )
    columns = [
        torch.outer(u, v).flatten() for u, v in zip(form.left().T, form.right(), strict=True)
    ]
    solved = torch.linalg.lstsq(torch.stack(columns, dim=1), delta.flatten()[:, None]).solution
    torch.testing.assert_close(form.sigma, solved[:, 0], rtol=2e-3, atol=1e-4)


def test_the_refit_for_inputs_lowers_what_they_see():
    delta, hessian = lowrank_noise(64, 96, decay=0.5), correlated(96)
    factors = full(delta).cut(24)
    group = quantise_group(
        factors.left, factors.sigma, factors.right, hessian, 2, QuantOptions(group=32)
    )
    form = LowRankForm((64, 96), factors.sigma, [group], 32)

    def seen(made):
        rest = (made.decode() - delta).double()
        return float((rest @ hessian.double() * rest).sum())

    assert seen(refit_sigma(form, delta, hessian)) < seen(form)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_error_of_rounded_vectors_keeps_to_its_bound(bits):
    factors = full(lowrank_noise(80, 60, decay=0.5)).cut(20)
    left, sigma, right = factors.left, factors.sigma, factors.right
    form = LowRankForm.encode(left, sigma, right, [(bits, 20)], group_size=32)
    ours, theirs = form.left(), form.right()
    found = (left * sigma) @ right - form.decode()
    bound = float(((left - ours) * sigma).norm()) * float(torch.linalg.matrix_norm(right, 2))
    bound += float(torch.linalg.matrix_norm(ours, 2)) * float(
        (sigma[:, None] * (right - theirs)).norm()
    )
    sigma_rounding = 1e-3 * float(sigma.norm()) * float(torch.linalg.matrix_norm(ours, 2)) * 2
    assert float(found.norm()) <= bound + sigma_rounding


@pytest.mark.parametrize(
    "schedule", [[(8, 2), (4, 6), (2, 12)], [(8, 2), (3, 18)], [(4, 1), (2, 9)]]
)
def test_the_error_of_a_pack_is_at_most_that_of_its_groups_and_the_tail(schedule):
    delta = lowrank_noise(80, 60, decay=0.5)
    rank = sum(count for _, count in schedule)
    factors = full(delta)
    kept = factors.cut(rank)
    form = LowRankForm.encode(kept.left, kept.sigma, kept.right, schedule, group_size=32)
    total, at = float(factors.sigma[rank:].double().square().sum().sqrt()), 0
    for group in form.groups:
        part = slice(at, at + group.columns)
        at += group.columns
        ours, sigma = group.left.decode().T.double(), kept.sigma[part].double()
        theirs, stored = group.right.decode().double(), form.sigma[part].double()
        left, right = kept.left[:, part].double(), kept.right[part].double()
        bound = float(((left - ours) * sigma).norm()) * float(torch.linalg.matrix_norm(right, 2))
        bound += float(torch.linalg.matrix_norm(ours, 2)) * float(
            (sigma[:, None] * (right - theirs)).norm()
        )
        bound += float(((ours * (sigma - stored)) @ theirs).norm())  # sigma in 16 bits
        found = float(((left * sigma) @ right - (ours * stored) @ theirs).norm())
        assert found <= bound * (1 + 1e-9)
        total += found
    error = float((delta.double() - form.decode().double()).norm())
    assert error <= total * (1 + 1e-5)
    assert error > 0.3 * total / len(schedule)  # the bound says something
