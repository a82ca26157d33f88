"""GOLD, SimCT and DSKD against slow versions and by what must hold of them."""

import math
from dataclasses import replace

import pytest
import torch

from franken.distillation.common.divergence import divergence
from franken.distillation.dskd import Dskd, Space, projectors
from franken.distillation.gold import Gold, jensen_shannon
from franken.distillation.simct import Score, Simct
from tests.distillation.test_losses import MINE, THEIRS, view
from tests.faults import faults_of

SHARED = torch.tensor([0, 2, 3, 5, 10])
PARTNERS = torch.tensor([4, 1, 14, 5, 0])
ONES = [[-1, 0, 1, 2, 3, -1], [-1, 6, 7, 8, 9, 10]]


def sides(*, grad=False):
    student = view(0, MINE, grad=grad, shared=SHARED)
    return student, view(1, THEIRS, words=15, shared=PARTNERS)


def logits_of(side, row, place):
    return side.hidden[row, place].double() @ side.weight.double().T + side.bias.double()


def runs(side):
    """Chunk -> its tokens: what each has of logits before it, and its id."""
    found = {}
    for row in range(len(side.chunks)):
        for place in range(1, side.chunks.shape[1]):
            if (chunk := int(side.chunks[row, place])) >= 0:
                entry = logits_of(side, row, place - 1), int(side.ids[row, place])
                found.setdefault(chunk, []).append(entry)
    return found


def merged(tokens):
    """The release's vector of a group: the last distribution times the earlier probabilities."""
    before = math.prod(float(logits.softmax(0)[own]) for logits, own in tokens[:-1])
    return tokens[-1][0].softmax(0) * before


def slow_gold(student, teacher, beta, weight):
    total = 0.0
    for chunk, tokens in runs(teacher).items():
        goal, found = merged(tokens), merged(runs(student)[chunk])
        mine, theirs = found[student.shared], goal[teacher.shared]
        middle = {0.0: mine, 1.0: theirs}.get(beta, beta * theirs + (1 - beta) * mine)
        forward, back = ((a * (a / middle).log()).sum() for a in (theirs, mine))
        by_name = {0.0: forward, 1.0: back}.get(beta, beta * forward + (1 - beta) * back)
        rest = [
            sorted(side[[i for i in range(len(side)) if i not in view.shared.tolist()]].tolist())
            for side, view in ((goal, teacher), (found, student))
        ]
        width = max(map(len, rest))
        first, second = ([0.0] * (width - len(side)) + side for side in rest)
        by_rank = sum(abs(a - b) for a, b in zip(first, second, strict=True))
        total += weight * by_name + (1 - weight) * by_rank
    return float(total)


@pytest.mark.parametrize(("beta", "weight"), [(0.0, None), (1.0, 0.25), (0.3, 1.0)])
def test_gold_against_a_loop(beta, weight):
    student, teacher = sides()
    found, count = Gold(beta=beta, shared_weight=weight).loss(student, teacher)
    share = len(PARTNERS) / 15 if weight is None else weight
    assert count == 6
    assert float(found.detach()) == pytest.approx(
        slow_gold(student, teacher, beta, share), rel=1e-4
    )


def test_golds_entry_of_the_last_token_is_the_likelihood_of_the_chunk():
    student, _ = sides()
    numbers, last = student.last_states()
    vectors = (
        student.logits(last).log_softmax(1) + student.log_likelihoods_but_last()[numbers, None]
    )
    ends = {chunk: tokens[-1][1] for chunk, tokens in runs(student).items()}
    own = torch.tensor([ends[int(number)] for number in numbers])
    torch.testing.assert_close(
        vectors.gather(1, own[:, None])[:, 0], student.log_likelihoods()[numbers]
    )


def test_without_names_gold_is_uld_over_merged_tokens():
    student, teacher = sides()
    found, _ = Gold(hybrid=False).loss(student, teacher)
    nothing = torch.empty(0, dtype=torch.int64)
    expected, _ = Gold(shared_weight=0.0).loss(
        replace(student, shared=nothing), replace(teacher, shared=nothing)
    )
    torch.testing.assert_close(found, expected)


def test_jensen_shannon_between_its_ends_is_of_both_sides_to_the_middle():
    goal, found = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
    value = jensen_shannon(goal.log(), found.log(), 0.5)
    middle = (goal + found) / 2
    expected = 0.5 * sum((side * (side / middle).log()).sum() for side in (goal, found))
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


def slow_simct(student, teacher, score):
    total = 0.0
    for chunk, theirs in runs(teacher).items():
        rows = []
        mine = runs(student)[chunk]
        for tokens, side in ((mine, student), (theirs, teacher)):
            first = tokens[0][0] if score is Score.mean_logit else tokens[0][0].log_softmax(0)
            own = [
                (logits if score is Score.mean_logit else logits.log_softmax(0))[token]
                for logits, token in tokens
            ]
            entries = first[side.shared].tolist()
            if len(mine) > 1 or len(theirs) > 1:
                entries.append(float(sum(own)) / (1 if score is Score.sum_logprob else len(own)))
            rows.append(torch.tensor(entries).double().softmax(0))
        total += float((rows[0] * (rows[0] / rows[1]).log()).sum())
    return total


@pytest.mark.parametrize("score", list(Score))
def test_simct_against_a_loop(score):
    student, teacher = sides()
    found, count = Simct(score=score).loss(student, teacher)
    assert count == 6
    assert float(found.detach()) == pytest.approx(slow_simct(student, teacher, score), rel=1e-4)


def test_a_shift_of_all_logits_leaves_simct_where_it_is():
    student, teacher = sides()
    shifted = replace(student, bias=student.bias + 3.0)
    for score in Score:
        before, after = (Simct(score=score).loss(side, teacher)[0] for side in (student, shifted))
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)


def test_under_one_tokenizer_simct_is_reverse_kl_and_gold_forward_kl():
    everything = torch.arange(11)
    student, teacher = (view(seed, ONES, shared=everything) for seed in (0, 1))
    logs = [side.logits(side.first_states()[1]).log_softmax(1) for side in (student, teacher)]
    torch.testing.assert_close(
        Simct().loss(student, teacher)[0], divergence(*logs).sum(), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(
        Gold().loss(student, teacher)[0], divergence(logs[1], logs[0]).sum(), rtol=1e-5, atol=1e-5
    )


def wide(seed, chunks, shared, *, words=40, width=6):
    return view(seed, chunks, words=words, width=width, shared=shared)


def test_projectors_find_a_rotation_and_its_inverse():
    shared = torch.arange(40)
    student = wide(0, MINE, shared)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(3)))[0]
    teacher = replace(wide(1, THEIRS, shared.flip(0)), weight=(student.weight @ turn).flip(0))
    there, back = projectors(student, teacher, 40)
    torch.testing.assert_close(there, turn, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(back, turn.T, rtol=1e-4, atol=1e-4)


def test_projectors_are_the_least_squares():
    student, teacher = wide(0, MINE, torch.arange(0, 40, 2)), wide(1, THEIRS, torch.arange(20))
    there, _ = projectors(student, teacher, 1000)
    rows = student.weight[student.shared], teacher.weight[teacher.shared]
    expected = torch.linalg.lstsq(rows[1], rows[0]).solution.T
    torch.testing.assert_close(there, expected, rtol=1e-3, atol=1e-4)


def test_projectors_are_those_of_float32_under_a_pass_in_16_bits():
    shared = torch.arange(40)
    student, teacher = wide(0, MINE, shared), wide(1, THEIRS, shared)
    expected = projectors(student, teacher, 40)
    with torch.autocast("cpu", torch.bfloat16):
        found = projectors(student, teacher, 40)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_dskd_of_a_model_with_itself_is_0_in_both_spaces():
    shared = torch.arange(40)
    student, teacher = wide(0, ONES, shared), wide(0, ONES, shared)
    for space in Space:
        found, count = Dskd(space=space).loss(student, teacher)
        assert float(found.detach()) == pytest.approx(0.0, abs=1e-4)
        assert count == 9


def test_dskd_against_a_loop():
    student = wide(0, MINE, torch.arange(0, 40, 2))
    teacher = wide(1, THEIRS, torch.arange(20), words=30, width=5)
    there, back = projectors(student, teacher, 1000)
    over_theirs = replace(teacher, hidden=student.hidden @ there)
    over_mine = replace(student, hidden=teacher.hidden @ back)
    pairs = []
    for chunk in sorted({int(n) for n in student.chunks.unique() if n >= 0}):
        (row, at), (other, place) = (
            (side.chunks == chunk).nonzero()[0].tolist() for side in (student, teacher)
        )
        goals = [logits_of(side, other, place - 1) for side in (teacher, over_mine)]
        found = [logits_of(side, row, at - 1) for side in (over_theirs, student)]
        pairs.append(
            (
                row,
                at,
                *(
                    divergence(*(x.log_softmax(0)[None] for x in pair)).item()
                    for pair in zip(goals, found, strict=True)
                ),
                int(goals[1].argmax()),
            )
        )
    for row, at, _, _, best in pairs[:2]:
        student.ids[row, at] = best
    kept = [mine for row, at, _, mine, best in pairs if int(student.ids[row, at]) == best]
    found, count = Dskd().loss(student, teacher)
    expected = sum(pair[2] for pair in pairs) + sum(kept) / len(kept) * count
    assert 2 <= len(kept) < count == 6
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_options_out_of_range_are_named_here_too():
    assert set(faults_of(Gold, beta=2.0, shared_weight=-1.0, rollout=1.5)) == {
        "beta", "shared_weight", "rollout",
    }  # fmt: skip
    assert set(faults_of(Dskd, temperature=0.0, anchors=0)) == {"temperature", "anchors"}
