"""ALM and ULD against slow versions and by what must hold of them."""

import math

import pytest
import torch

from franken.declare import options
from franken.distillation.alm import Alm, Boundary, Divergence, chunk_ends, log_rest
from franken.distillation.common.view import View
from franken.distillation.uld import Uld, distances
from tests.faults import faults_of

BEGINS = torch.tensor([3, 5, 6])


def view(seed, chunks, *, words=11, width=6, grad=False, **options):
    """A model by its states, over given chunks."""
    generator = torch.Generator().manual_seed(seed)
    chunks = torch.tensor(chunks)
    hidden = torch.randn(*chunks.shape, width, generator=generator)
    return View(
        hidden.requires_grad_(grad), torch.randn(words, width, generator=generator),
        torch.randn(words, generator=generator),
        torch.randint(0, words, chunks.shape, generator=generator), chunks, 12,
        begins=BEGINS, **options,
    )  # fmt: skip


MINE = [[-1, 0, 0, 1, 3, 3, -1], [-1, 6, 7, 7, 7, 9, -1]]
THEIRS = [[-1, 0, 1, 1, 1, 3], [-1, 6, 6, 7, 9, 9]]


def slow_scores(side):
    """Chunk -> log-likelihood, and log-probability of a boundary after it."""
    scores, after = {}, {}
    for row in range(len(side.chunks)):
        for place in range(1, side.chunks.shape[1]):
            chunk = int(side.chunks[row, place])
            if chunk < 0:
                continue
            for at, kept in ((place - 1, scores), (place, after)):
                logits = side.hidden[row, at] @ side.weight.T + side.bias
                if side.softcap:
                    logits = side.softcap * torch.tanh(logits / side.softcap)
                shares = torch.softmax(logits, 0)
                if kept is scores:
                    kept[chunk] = kept.get(chunk, 0) + shares[side.ids[row, place]].log()
                else:
                    kept[chunk] = shares[BEGINS].sum().log()
    return scores, after


@pytest.mark.parametrize("block", [0, 1, 4])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_likelihoods_and_boundaries_of_chunks(block, softcap):
    side = view(0, MINE, block=block, softcap=softcap)
    scores, after = slow_scores(side)
    assert side.present().nonzero().flatten().tolist() == sorted(scores)
    for found, expected in ((side.log_likelihoods(), scores), (side.log_boundaries(), after)):
        for chunk, value in expected.items():
            torch.testing.assert_close(found[chunk], value, rtol=1e-5, atol=1e-5)


def test_likelihoods_of_all_chunks_are_the_text():
    side = view(1, MINE)
    total = sum(slow_scores(side)[0].values())
    torch.testing.assert_close(side.log_likelihoods().sum(), total)


def slow_alm(student, teacher, config):
    """Merged chunks one by one."""
    (learnt, mine), (taught, theirs) = slow_scores(student), slow_scores(teacher)
    total, count = 0.0, 0
    open_sums = [0.0, 0.0]
    for chunk in sorted(taught):
        open_sums = [open_sums[0] + taught[chunk], open_sums[1] + learnt[chunk]]
        blind = config.boundary is Boundary.none
        if not blind and theirs[chunk].exp() <= config.gamma and chunk + 1 in taught:
            continue
        if not blind and config.debias:
            open_sums = [open_sums[0] + theirs[chunk], open_sums[1] + mine[chunk]]
        goal, found = (math.exp(value / config.tau) for value in open_sums)
        total += {
            Divergence.cross_entropy:
                lambda p, q: -p * math.log(q) - (1 - p) * math.log(1 - q),
            Divergence.kl:
                lambda p, q: p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)),
            Divergence.total_variation: lambda p, q: abs(p - q),
            Divergence.log_ratio: lambda p, q: config.tau * abs(math.log(p) - math.log(q)),
        }[config.divergence](goal, found)  # fmt: skip
        count, open_sums = count + 1, [0.0, 0.0]
    return total, count


@pytest.mark.parametrize("divergence", list(Divergence))
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("debias", [True, False])
def test_alm_against_a_loop(divergence, gamma, debias):
    config = Alm(divergence=divergence, gamma=gamma, debias=debias, tau=3.0)
    student, teacher = view(0, MINE), view(1, THEIRS)
    found, count = config.loss(student, teacher)
    expected, chunks = slow_alm(student, teacher, config)
    assert count == chunks
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)


def test_without_boundaries_every_chunk_stands_for_itself():
    config = Alm(boundary=Boundary.none)
    found, count = config.loss(view(0, MINE), view(1, THEIRS))
    assert count == 6
    assert float(found.detach()) == pytest.approx(
        slow_alm(view(0, MINE), view(1, THEIRS), config)[0], rel=1e-4
    )


def test_gamma_1_merges_what_is_together_and_gamma_0_nothing():
    present = torch.tensor([1, 1, 0, 1, 1, 1, 0], dtype=torch.bool)
    nothing, everything = torch.zeros(7, dtype=torch.bool), torch.ones(7, dtype=torch.bool)
    assert chunk_ends(present, nothing).nonzero().flatten().tolist() == [1, 5]
    assert torch.equal(chunk_ends(present, everything), present)


@pytest.mark.parametrize("divergence", list(Divergence))
def test_equal_models_leave_no_gradient(divergence):
    """Of log_ratio the absolute value has slope 0 at 0."""
    student, teacher = view(0, MINE, grad=True), view(0, MINE)
    loss, _ = Alm(divergence=divergence).loss(student, teacher)
    loss.backward()
    assert float(student.hidden.grad.abs().max()) < 1e-6
    if divergence is not Divergence.cross_entropy:
        assert float(loss.detach()) == pytest.approx(0.0, abs=1e-5)


def test_the_gradient_goes_towards_the_teachers_likelihood():
    taught = torch.tensor([-1.0, -4.0, -2.0])
    learnt = torch.tensor([-2.0, -1.0, -2.0], requires_grad=True)
    Alm(divergence=Divergence.kl).divergences(taught, learnt).sum().backward()
    assert learnt.grad.sign().tolist() == [-1.0, 1.0, 0.0]


def test_the_rest_of_a_probability_keeps_its_digits():
    values = torch.tensor([-1e-6, -0.1, -0.6931, -0.6932, -5.0, -60.0])
    exact = torch.log(-torch.expm1(values.double()))
    torch.testing.assert_close(log_rest(values).double(), exact, rtol=1e-5, atol=1e-7)
    values.requires_grad_()
    log_rest(values).sum().backward()
    assert bool(torch.isfinite(values.grad).all())


def slow_uld(student, teacher):
    total = 0.0
    for chunk in sorted({chunk for row in MINE for chunk in row} - {-1}):
        sides = []
        for side in (student, teacher):
            row, place = (side.chunks == chunk).nonzero()[0].tolist()
            logits = side.hidden[row, place - 1] @ side.weight.T + side.bias
            sides.append(sorted(torch.softmax(logits, 0).tolist(), reverse=True))
        width = max(map(len, sides))
        left, right = (shares + [0.0] * (width - len(shares)) for shares in sides)
        total += sum(abs(a - b) for a, b in zip(left, right, strict=True))
    return total


def test_uld_against_a_loop():
    student, teacher = view(0, MINE), view(1, THEIRS, words=15)
    found, count = Uld().loss(student, teacher)
    assert count == 6
    assert float(found.detach()) == pytest.approx(slow_uld(student, teacher), rel=1e-4)


def test_uld_does_not_ask_what_tokens_are_called():
    student, teacher = view(0, MINE, grad=True), view(0, MINE)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(2))
    teacher.weight, teacher.bias = teacher.weight[order], teacher.bias[order]
    found, _ = Uld().loss(student, teacher)
    assert float(found.detach()) == pytest.approx(0.0, abs=1e-5)
    half, _ = Uld(largest=11).loss(student, view(1, THEIRS))
    full, _ = Uld().loss(student, view(1, THEIRS))
    torch.testing.assert_close(half, full)


def test_distances_fill_the_shorter_side_with_zeros():
    left, right = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.5, 0.3, 0.2]])
    assert distances(left, right).tolist() == pytest.approx([0.4])


def test_gradients_reach_the_student_alone():
    chunked = {k: cls for k, cls in options("distillation").items() if not cls.by_layers}
    for name, cls in chunked.items():
        shared = torch.arange(11)
        student = view(0, MINE, grad=True, shared=shared)
        teacher = view(1, THEIRS, grad=True, shared=shared)
        loss, _ = cls().loss(student, teacher)
        loss.backward()
        assert float(student.hidden.grad.abs().sum()) > 0, name
        assert teacher.hidden.grad is None, name


def test_options_out_of_range_are_named():
    assert set(faults_of(Alm, tau=0.0, gamma=2.0, weight=-1.0)) == {"tau", "gamma", "weight"}
    assert set(faults_of(Uld, largest=-1)) == {"largest"}
