"""Training: repeatable, sensible, and clear about text that is too small."""

import hashlib
import os
import random
import subprocess
import sys

import pytest
import torch
from gensim.models.fasttext import ft_ngram_hashes

from franken.errors import DataError
from franken.word_vectors.common.words import words_of
from franken.word_vectors.trained import Architecture, TrainedVectors, passes, train_space
from tests.faults import faults_of, raises

SMALL = TrainedVectors(dim=16, epochs=15, buckets=500, min_count=1, subsample=0.0)


def sentences(count=600):
    """Animals occur with animal words, vehicles with vehicle words."""
    draw = random.Random(0)
    worlds = [
        (["cat", "dog", "horse"], ["eats", "sleeps", "breathes"], ["grass", "meat"]),
        (["car", "bus", "train"], ["drives", "stops", "brakes"], ["petrol", "diesel"]),
    ]
    chosen = [draw.choice(worlds) for _ in range(count)]
    return [["the", *(draw.choice(part) for part in world), "today"] for world in chosen]


def test_words_used_alike_lie_near_each_other():
    space = train_space(sentences(), SMALL, 0, what="text")
    unit = torch.nn.functional.normalize(space.vectors, dim=1)
    place = space.index

    def cosine(first, second):
        return float(unit[place[first]] @ unit[place[second]])

    assert cosine("cat", "horse") > cosine("cat", "bus") + 0.1
    assert cosine("bus", "train") > cosine("train", "dog") + 0.1


def test_words_come_by_frequency_with_their_counts():
    space = train_space([["b", "a", "b"], ["c", "b", "a"]] * 3, SMALL, 0, what="text")
    assert space.words == ["b", "a", "c"]
    assert space.counts.tolist() == [9, 6, 3]


def test_buckets_have_rows_where_a_known_word_has_an_ngram_in_them():
    space = train_space(sentences(), SMALL, 0, what="text")
    used = {h for word in space.words for h in ft_ngram_hashes(word, SMALL.min_n, SMALL.max_n, 500)}
    assert space.slots.tolist() == sorted(used)
    assert space.ngrams.shape == (len(used), 16)
    guess, known = space.lookup(["breathe", "zzzzzzz"])
    rows = [h for h in ft_ngram_hashes("breathe", SMALL.min_n, SMALL.max_n, 500) if h in used]
    expected = space.ngrams[[space.slots.tolist().index(h) for h in rows]].mean(0)
    torch.testing.assert_close(guess[0], expected)
    strange = ft_ngram_hashes("zzzzzzz", SMALL.min_n, SMALL.max_n, 500)
    assert known.tolist() == [True, bool(used & set(strange))]


SCRIPT = """
import hashlib
from tests.word_vectors.test_train import SMALL, sentences
from franken.word_vectors.trained import train_space
space = train_space(sentences(100), SMALL, 5, what="text")
print(hashlib.sha256(space.vectors.numpy().tobytes() + space.ngrams.numpy().tobytes()).hexdigest())
"""


def digest(space):
    return hashlib.sha256(
        space.vectors.numpy().tobytes() + space.ngrams.numpy().tobytes()
    ).hexdigest()


def test_equal_seeds_give_equal_bytes_in_any_process():
    here = digest(train_space(sentences(100), SMALL, 5, what="text"))
    torch.rand(3)
    assert digest(train_space(sentences(100), SMALL, 5, what="text")) == here
    assert digest(train_space(sentences(100), SMALL, 6, what="text")) != here
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize("architecture", list(Architecture))
def test_whole_words_only_leaves_unseen_words_without_a_vector(architecture):
    config = TrainedVectors(dim=8, epochs=2, max_n=0, min_count=1, architecture=architecture)
    space = train_space(sentences(50), config, 0, what="text")
    assert space.ngrams is None
    assert space.lookup(["cats", "cat"])[1].tolist() == [False, True]


def test_few_words_that_meet_in_every_window_do_not_overshoot():
    text = [["a", "b", "ab"] * 100] * 10
    for rate in (0.05, 0.1):
        config = TrainedVectors(dim=8, epochs=2, min_count=1, subsample=0.0, lr=rate)
        assert float(train_space(text, config, 0, what="text").vectors.abs().max()) < 100
    with raises(DataError, "text", "word_vectors.lr", 9.0):
        train_space(text, TrainedVectors(dim=8, epochs=2, lr=9.0), 0, what="text")


def test_long_lines_are_used_whole():
    line = [f"w{index % 7}" for index in range(25_000)]
    space = train_space([line], TrainedVectors(dim=4, epochs=1, buckets=10), 0, what="text")
    assert int(space.counts.sum()) == 25_000


def test_text_without_a_frequent_word_is_an_error_that_says_which():
    for text in ([], [[]], [["once"], ["only"]]):
        with raises(DataError, "monolingual text of ka", 2, "word_vectors.min_count"):
            train_space(text, TrainedVectors(dim=4), 0, what="monolingual text of ka")


def test_words_keep_their_marks_and_case():
    assert words_of("Maji, na n'yumba-kubwa!") == ["Maji", ",", "na", "n'yumba-kubwa", "!"]
    assert words_of("हिन्दी में  2024।") == ["हिन्दी", "में", "2024", "।"]
    assert words_of("  ") == []


def test_options_that_cannot_work_are_faults():
    faults = faults_of(TrainedVectors, dim=0, min_n=5, max_n=3, lr=0)
    assert set(faults) == {"dim", "min_n", "lr"}
    assert not list(TrainedVectors().faults())


@pytest.mark.parametrize(
    ("words", "budget", "expected"),
    [(10, None, 15), (10, 1000, 15), (100, 1000, 10), (100, 949, 9), (5000, 1000, 1)],
)
def test_a_budget_of_words_ends_the_passes(words, budget, expected):
    assert passes(words, TrainedVectors(epochs=15, word_budget=budget)) == expected


def test_the_budget_reaches_training():
    text = sentences(100)
    words = sum(map(len, text))
    once = TrainedVectors(dim=4, epochs=1, buckets=50, min_count=1)
    cut = TrainedVectors(dim=4, epochs=9, buckets=50, min_count=1, word_budget=words)
    left, right = (train_space(text, config, 0, what="") for config in (once, cut))
    assert torch.equal(left.vectors, right.vectors)
