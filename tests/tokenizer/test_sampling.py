"""Which lines the trainer reads, scripts, counting, and the Unigram trainer."""

import math
from collections import Counter

import numpy as np
import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import ConfigError, DataError
from franken.tokenizer.learn import find_alphabet
from franken.tokenizer.options import LineSampling
from franken.tokenizer.sampling import allocate_lines, lines_of, sample_languages, usage_counts
from franken.tokenizer.scripts import uses_only_scripts
from franken.tokenizer.unigram import train_unigram
from franken.vocab.scratch import ScratchVocab
from tests.faults import raises
from tests.vocab.toys import ENGLISH, base_tokenizer, ids_of


def numbered(count):
    return lambda: (f"line {index}" for index in range(count))


def test_texts_of_several_lines_are_split_and_blank_lines_dropped():
    assert list(lines_of(["a\nb\r\n\n c", "", " ", "d"])) == ["a", "b", " c", "d"]


def test_the_cap_limits_large_languages_only():
    streams = {"big": numbered(1000), "small": numbered(10)}
    drawn = sample_languages(streams, ScratchVocab(max_lines_per_language=100), seed=1)
    big, small = list(drawn["big"]()), list(drawn["small"]())
    assert len(big) == len(set(big)) == 100
    assert small == [f"line {index}" for index in range(10)]
    assert any(int(line.split()[1]) > 500 for line in big)


def test_a_sample_is_the_same_when_read_again_and_other_with_another_seed():
    config = ScratchVocab(max_lines_per_language=50)
    drawn = sample_languages({"x": numbered(500)}, config, seed=1)
    other = sample_languages({"x": numbered(500)}, config, seed=2)
    assert list(drawn["x"]()) == list(drawn["x"]())
    assert list(drawn["x"]()) != list(other["x"]())


def test_every_line_is_equally_likely():
    hits = Counter()
    config = ScratchVocab(max_lines_per_language=5)
    for seed in range(2000):
        hits.update(sample_languages({"x": numbered(20)}, config, seed)["x"]())
    assert max(abs(hits[f"line {index}"] - 500) for index in range(20)) < 100


def test_a_language_does_not_depend_on_the_others():
    config = ScratchVocab(max_lines_per_language=5)
    alone = sample_languages({"x": numbered(50)}, config, 0)["x"]
    together = sample_languages({"a": numbered(70), "x": numbered(50)}, config, 0)["x"]
    assert list(alone()) == list(together())


def test_temperature_one_is_proportional_and_infinity_is_even():
    counts = {"a": 900, "b": 100}
    config = ScratchVocab(sampling=LineSampling.temperature, temperature=1.0)
    assert allocate_lines(counts, config) == counts
    even = allocate_lines(counts, ScratchVocab(sampling=LineSampling.temperature, temperature=1e9))
    assert even == {"a": 500, "b": 500}
    half = allocate_lines(counts, ScratchVocab(sampling=LineSampling.temperature, temperature=2.0))
    assert half == {"a": 750, "b": 250}  # square roots 30 : 10


def test_small_languages_are_repeated_under_temperature():
    config = ScratchVocab(sampling=LineSampling.temperature, temperature=1e9)
    drawn = sample_languages({"a": numbered(90), "b": numbered(10)}, config, 0)
    assert Counter(drawn["b"]()) == {f"line {index}": 5 for index in range(10)}


def test_empty_languages_are_named():
    with raises(DataError, "empty", "data.languages"):
        sample_languages({"empty": numbered(0), "x": numbered(1)}, ScratchVocab(), 0)


def test_usage_is_counted_over_chunks_up_to_the_limit():
    tokenizer = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    counts = usage_counts(tokenizer.backend_tokenizer, iter(ENGLISH), len(tokenizer), limit=1100)
    slow = Counter(index for line in ENGLISH[:1100] for index in ids_of(tokenizer, line))
    assert {index: int(count) for index, count in enumerate(counts) if count} == slow


@pytest.mark.parametrize(
    ("text", "expected"),
    [("house", True), (" 1,2!", True), ("дом", False), ("aд", False), ("é", True), ("🙂", True)],
)
def test_scripts_of_a_text(text, expected):
    assert uses_only_scripts(text, ["Latin", "Common", "Inherited"]) is expected


def test_combining_marks_are_inherited_and_indic_signs_are_not():
    assert uses_only_scripts("e\u0301", ["Latin", "Inherited"])
    assert not uses_only_scripts("\u0bcd", ["Latin", "Common", "Inherited"])


def test_an_unknown_script_is_named():
    with raises(ConfigError, "vocab.keep_scripts", "'Klingon'"):
        uses_only_scripts("a", ["Latin", "Klingon"])


def test_the_alphabet_covers_every_language_however_small():
    streams = {"en": lambda: ["abc" * 100] * 1000, "xx": lambda: ["дом"] * 3}
    assert set(find_alphabet(None, streams)) == set("abcдом")


def test_rare_characters_are_left_out_of_the_alphabet():
    streams = {"en": lambda: [*["abc" * 100] * 1000, "ж"]}
    assert set(find_alphabet(None, streams)) == set("abc")


def test_unigram_finds_the_words_of_a_text_and_their_probabilities():
    words = Counter({"▁the": 60, "▁cat": 30, "▁c": 10})
    seeds = ["▁t", "he", "▁the", "▁c", "at", "▁cat", "th", "a"]
    scores = train_unigram(words, list("▁theca"), seeds, 3)
    assert set(scores) - set("▁theca") == {"▁the", "▁cat", "▁c"}
    mass = np.exp(list(scores.values())).sum()
    assert mass == pytest.approx(1.0)
    assert scores["▁the"] - scores["▁cat"] == pytest.approx(math.log(2.0))
