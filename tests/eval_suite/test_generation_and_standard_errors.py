"""Where generations end, how numbers are read, and what the standard errors are."""

import math
import random
from decimal import Decimal

import pytest

from franken.decoding import Written
from franken.eval_suite.generation import Limits, cut
from franken.eval_suite.numbers import last_number, number_format, read_differently
from franken.statistics import Units, clustered_stderr, influences
from franken.tasks.translation import corpus_score


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
    ("text", "lang", "number"),
    [
        ("so it is 12 .", "en", "12"), ("1,234.50 dollars", "en", "1234.5"),
        ("3 and then -4", "en", "-4"), ("उत्तर १२", "hi", "12"), ("٣٫٥", "ar", "3.5"),
        ("١٬٢٣٤", "ar", "1234"), ("= 7.", "en", "7"), ("10.00", "en", "10"), ("−2", "en", "-2"),
        ("from 10-4", "en", "4"), ("12,34,567", "hi", "1234567"), ("in 2024 18", "ru", "18"),
        ("18.000", "id", "18000"), ("18.000", "de", "18000"), ("18.000", "en", "18"),
        ("Rp1.250.000", "id", "1250000"), ("1.234,5", "deu_Latn", "1234.5"),
        ("12 000", "ru", "12000"), ("12\u00a0000", "fr", "12000"), ("12\u202f000", "fr", "12000"),
        ("3,5", "fr", "3.5"), ("3,5", "en", "3.5"), ("3.5", "de", "3.5"), ("1'000", "de", "1000"),
    ],
)  # fmt: skip
def test_the_last_number_is_read_as_its_language_writes_it(text, lang, number):
    assert last_number(text, lang) == Decimal(number)


def test_numbers_that_languages_read_differently_are_known():
    assert read_differently("it is 18.000")
    assert read_differently("it is 1,234")
    assert not any(map(read_differently, ("18", "1.234,5", "3,5", "12 000", "none")))


def test_decimal_commas_are_babels():
    babel = pytest.importorskip("babel", reason="babel is not installed")
    for code in ("id", "de", "ru", "fr", "en", "sw", "hi", "ta", "tr", "ka", "es", "am", "ja"):
        decimal = babel.Locale.parse(code).number_symbols["latn"]["decimal"]
        assert number_format(code).decimal[0] == decimal


def test_a_text_without_a_number_gives_none():
    assert last_number("none at all") is None


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
    found = corpus_score(metric, guesses, references)
    scorer = CHRF(word_order=2) if metric == "chrf++" else BLEU()
    assert found.value == scorer.corpus_score(guesses, [references]).score
    assert found.signature == str(scorer.get_signature())
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
    assert found.draws is not None
    assert found.draws.std(ddof=1) == pytest.approx(spread, rel=0.25)
    stderr = clustered_stderr(influences([Units.of(range(40), found.parts)]))
    assert stderr == pytest.approx(spread, rel=0.25)
    again = corpus_score(metric, guesses, references)
    assert (again.draws == found.draws).all()
