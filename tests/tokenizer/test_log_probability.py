"""The size of a vocabulary by the change of its mean log-probability."""

import math
from collections import Counter

import pytest

from franken.tokenizer.log_probability import average_log_probability, search_size


class Words:
    """Tokens are words."""

    def __call__(self, lines, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [[hash(word) for word in line.split()] for line in lines]}


def test_it_is_minus_tokens_per_line_times_their_entropy():
    lines = ["a b a", "b c", "a a a d", ""] * 700
    words = Counter(word for line in lines for word in line.split())
    total = sum(words.values())
    entropy = -sum(n / total * math.log(n / total) for n in words.values())
    expected = -total / len(lines) * entropy
    assert average_log_probability(Words(), lines) == pytest.approx(expected, rel=1e-12)


def test_one_token_that_is_all_the_text_is_certain():
    assert average_log_probability(Words(), ["a a", "a"]) == 0.0


@pytest.mark.parametrize(
    ("values", "sizes"),
    [([-90, -80, -76, -75], [10, 15, 20]), ([-90, -80, None], [10, 15]),
     ([-90, -80, -70, -60], [10, 15, 20, 25]), ([None], [10]), ([-70, -74], [10, 15])],
    ids=["hardly changes", "text too short", "never settles", "too short at once", "falls"],
)  # fmt: skip
def test_the_search_takes_the_first_size_that_hardly_changes(values, sizes):
    asked = []

    def build(size):
        asked.append(size)
        return size, values[len(asked) - 1]

    taken, history = search_size(build, 10, 5, 25, 5.0)
    assert taken == sizes[-1]
    assert [size for size, _ in history] == sizes
