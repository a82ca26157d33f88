"""Where generations end, how numbers are read, and what the standard errors are."""

import math
import random
from decimal import Decimal

import pytest

from franken.decoding import Written
from franken.eval_suite.generation import Limits, cut
from franken.eval_suite.math_problems import last_number
from franken.eval_suite.standard_errors import binomial_stderr, ratio, ratio_stderr
from franken.eval_suite.translation import corpus_score


def encode(case, text):
    return case.tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_text_is_cut_at_its_stop_string_or_says_what_ended_it(case):
    ids = encode(case, "the cat sees")
    assert cut(case.tokenizer, Written(ids, 0.0, True), Limits(50)).ended == "eos"
    assert cut(case.tokenizer, Written(ids, 0.0, False), Limits(50)).ended == "tokens"
    two = Written(encode(case, "the cat\nsees"), 0.0, False, True)
    stopped = cut(case.tokenizer, two, Limits(50, stops=("\n",)))
    assert (stopped.text, stopped.ended) == ("the cat", "stop")


def test_the_byte_limit_keeps_whole_characters(case):
    written = Written(encode(case, "кошка"), 0.0, False)
    short = cut(case.tokenizer, written, Limits(50, max_new_bytes=5))
    assert (short.text, short.ended) == ("ко", "bytes")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so it is 12 .", "12"), ("1,234.50 dollars", "1234.5"), ("3 and then -4", "-4"),
        ("उत्तर १२", "12"), ("٣٫٥", "3.5"), ("= 7.", "7"), ("10.00", "10"), ("−2", "-2"),
    ],
)  # fmt: skip
def test_the_last_number_is_read_in_any_script(text, number):
    assert last_number(text) == Decimal(number)


def test_a_text_without_a_number_gives_none():
    assert last_number("none at all") is None


def test_ratio_standard_error_matches_a_bootstrap():
    draw = random.Random(0)
    sizes = [draw.randint(20, 200) for _ in range(300)]
    bits = [size * draw.gauss(2.0, 0.3) for size in sizes]
    resampled = []
    for _ in range(1000):
        chosen = [draw.randrange(300) for _ in range(300)]
        resampled.append(ratio([bits[i] for i in chosen], [sizes[i] for i in chosen]))
    center = sum(resampled) / 1000
    spread = math.sqrt(sum((value - center) ** 2 for value in resampled) / 999)
    assert ratio_stderr(bits, sizes) == pytest.approx(spread, rel=0.1)


def test_standard_errors_of_degenerate_samples():
    assert ratio_stderr([1.0], [2.0]) is None
    assert binomial_stderr(0.5, 0) is None
    assert binomial_stderr(0.5, 100) == pytest.approx(0.05)
    assert math.isnan(ratio([], []))


@pytest.mark.parametrize("metric", ["chrf++", "bleu"])
def test_translation_scores_agree_with_sacrebleu_and_their_error_with_recomputed_resamples(metric):
    from sacrebleu.metrics import BLEU, CHRF

    draw = random.Random(1)
    words = [
        "the",
        "cat",
        "sees",
        "a",
        "red",
        "house",
        "and",
        "seven",
        "birds",
        "eat",
        "bread",
        "near",
        "old",
        "rivers",
    ]
    references = [" ".join(draw.choices(words, k=9)) for _ in range(40)]
    guesses = [
        " ".join(word if draw.random() < 0.8 else draw.choice(words) for word in line.split())
        for line in references
    ]
    value, stderr, signature = corpus_score(metric, guesses, references)
    scorer = CHRF(word_order=2) if metric == "chrf++" else BLEU()
    assert value == scorer.corpus_score(guesses, [references]).score
    assert signature == str(scorer.get_signature())
    resampled = []
    for _ in range(150):
        chosen = [draw.randrange(40) for _ in range(40)]
        resampled.append(
            scorer.corpus_score(
                [guesses[i] for i in chosen], [[references[i] for i in chosen]]
            ).score
        )
    center = sum(resampled) / 150
    spread = math.sqrt(sum((score - center) ** 2 for score in resampled) / 149)
    assert stderr == pytest.approx(spread, rel=0.25)
    assert corpus_score(metric, guesses, references)[1] == stderr
