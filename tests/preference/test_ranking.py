"""Best and worst of n, on scores that are known."""

import itertools
import random

import pytest

from franken.preference.common.ranking import DATA, Candidate, Choice, Skipped, choose, takes_share


def drawn(*scores: float, source: str = "m") -> list[Candidate]:
    return [Candidate(f"{source}{place}", score, source) for place, score in enumerate(scores)]


def chosen(candidates: list[Candidate], **options) -> tuple[str, str]:
    found = choose(candidates, **options)
    assert isinstance(found, Choice), found
    return found.best.text, found.worst.text


def test_the_best_is_chosen_and_the_worst_rejected() -> None:
    assert chosen(drawn(0.2, 0.9, -1.0, 0.5)) == ("m1", "m2")


def test_the_ends_are_those_of_sorting_whatever_the_order() -> None:
    rng = random.Random(0)
    for _ in range(50):
        scores = [rng.uniform(-3, 3) for _ in range(6)]
        found = choose(drawn(*scores))
        assert isinstance(found, Choice)
        ordered = sorted(scores)
        assert (found.worst.score, found.best.score) == (ordered[0], ordered[-1])


def test_of_equal_scores_the_one_drawn_first_counts() -> None:
    assert chosen(drawn(0, 1, 0, 1)) == ("m1", "m0")


def test_ties_and_missing_answers_give_no_pair() -> None:
    assert choose(drawn(1, 1, 1)) is Skipped.tie
    assert choose(drawn(1)) is Skipped.tie
    assert choose([]) is Skipped.nothing


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"min_gap": 0.25}, ("m0", "m1")),
        ({"min_gap": 0.26}, Skipped.too_close),
        ({"max_gap": 0.25}, ("m0", "m1")),
        ({"max_gap": 0.24}, Skipped.too_far),
    ],
)
def test_the_gap_must_lie_within_its_bounds(options, found) -> None:
    candidates = drawn(0.75, 0.5)
    if isinstance(found, tuple):
        assert chosen(candidates, **options) == found
    else:
        assert choose(candidates, **options) is found


def test_both_answers_come_from_the_model_with_the_best_one() -> None:
    candidates = [*drawn(0.9, 0.8, source="a"), *drawn(0.7, 0.1, source="b")]
    assert chosen(candidates) == ("a0", "a1")
    assert chosen(candidates, same_source=False) == ("a0", "b1")


def test_a_model_whose_answers_tie_is_passed_over() -> None:
    candidates = [*drawn(1, 1, source="a"), *drawn(1, 0, source="b")]
    assert chosen(candidates) == ("b0", "b1")


def test_of_equal_bests_the_wider_gap_counts() -> None:
    candidates = [*drawn(1, 0.5, source="a"), *drawn(1, 0, source="b")]
    for order in itertools.permutations(candidates):
        assert chosen(list(order)) == ("b0", "b1")


def test_the_datas_own_answer_competes_with_every_model() -> None:
    own = Candidate("right", 1.0, DATA)
    candidates = [own, *drawn(0, source="a"), *drawn(0.5, 0.2, source="b")]
    found = choose(candidates)
    assert isinstance(found, Choice)
    assert (found.best.text, found.worst.text, found.source) == ("right", "a0", "a")
    assert choose([own]) is Skipped.tie


def test_shares_are_spread_evenly_and_exact() -> None:
    for share, count in ((0.4, 100), (0.05, 200), (1 / 3, 99)):
        taken = [number for number in range(count) if takes_share(number, share)]
        assert len(taken) == round(share * count)
        gaps = {b - a for a, b in itertools.pairwise(taken)}
        assert max(gaps) - min(gaps) <= 1
    assert not any(takes_share(number, 0.0) for number in range(9))
    assert all(takes_share(number, 1.0) for number in range(9))
