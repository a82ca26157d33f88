"""AdaptiVocab: n-grams as a slow count takes them, and a plain tokenizer that writes them."""

import random
from collections import Counter

import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, ConfigError
from franken.tokenizer.ngrams import NGramScore, best_ngrams, greedy_length, merges_of
from franken.tokenizer.options import Splitting
from franken.tokenizer.types import VocabTexts
from franken.vocab.adaptivocab import AdaptiVocab
from tests.faults import faults_of, raises
from tests.vocab.toys import ENGLISH, TARGETS, base_tokenizer, ids_of, vocab_texts

LINES = [f"{line} kwa sababu hiyo hiyo tu." for line in TARGETS["sw"]]
TEXTS = VocabTexts(lambda: ENGLISH, {"sw": lambda: LINES})


def slow_best(words: dict[str, int], count: int, longest: int, less: int) -> list[tuple[str, int]]:
    """Counts everything anew after each choice."""
    words, found = dict(words), []
    for _ in range(count):
        counts = Counter()
        for word, uses in words.items():
            for size in range(2, longest + 1):
                for at in range(len(word) - size + 1):
                    if "." not in word[at : at + size]:
                        counts[word[at : at + size]] += uses
        known = [(-n * (len(gram) - less), gram) for gram, n in counts.items() if n >= 2]
        if not known:
            break
        gram = min(known)[1]
        found.append((gram, counts[gram]))
        left = Counter()
        for word, uses in words.items():
            left[word.replace(gram, "." * len(gram))] += uses
        words = dict(left)
    return found


@pytest.mark.parametrize("score", list(NGramScore))
def test_the_best_ngrams_are_those_of_a_count_that_begins_anew_each_time(score):
    draws = random.Random(3)
    words = {"".join(draws.choices("abcd", [4, 3, 2, 1], k=draws.randint(1, 9))): at % 3 + 1
             for at in range(60)}  # fmt: skip
    wanted = slow_best(words, 40, 3, 0 if score is NGramScore.paper else 1)
    assert list(best_ngrams(words, 40, longest=3, score=score)) == wanted
    assert len(wanted) > 10


def test_the_longest_ngram_from_the_left_is_taken():
    chosen = {"ab", "abc", "cd"}
    assert greedy_length("abcd", chosen, 3) == 2  # abc d
    assert greedy_length("xabd", chosen, 3) == 3  # x ab d
    assert greedy_length("", chosen, 3) == 0


def test_an_ngram_of_three_grows_from_a_pair_that_is_wanted_anyway():
    spell = {"a": "fo", "b": "r", "c": "m"}
    pieces, merges = merges_of(
        ["ab", "cab", "bca"], lambda letters: "".join(spell[x] for x in letters), {"x"}, 9
    )
    assert pieces == ["for", "mfor", "rm", "rmfo"]
    assert merges == [("fo", "r"), ("m", "for"), ("r", "m"), ("rm", "fo")]
    few, _ = merges_of(["ab", "bca", "cb"], "".join, {"ca"}, 2)
    assert few == ["ab", "cb"]  # bca needs bc and itself, and there is room for one more


@pytest.fixture(scope="module")
def base():
    return base_tokenizer(TokenizerKind.byte_level_bpe)


def test_phrases_take_the_ids_of_the_rarest_tokens_in_a_plain_tokenizer(base):
    found = AdaptiVocab(added=60).build(base, TEXTS)
    made, old, new = found.tokenizer, base.get_vocab(), found.tokenizer.get_vocab()
    kept = old.keys() & new.keys()
    assert len(made) == len(base)
    assert {piece: new[piece] for piece in kept} == {piece: old[piece] for piece in kept}
    assert len(old) - len(kept) == found.report["parts"]["new"] == 60
    used = Counter(piece for line in LINES for piece in base.tokenize(line))
    assert all(used[piece] <= 1 for piece in old.keys() - kept)
    for line in [*LINES, *ENGLISH, "a\n\n  b\tc 12345 ... (d)  ", ""]:
        assert made.decode(ids_of(made, line)) == line
    assert found.report["parts"]["across_blanks"] >= 1
    assert sum("Ġ" in piece.strip("Ġ") for piece in new.keys() - old.keys()) >= 1
    tokens = found.report["tokens"]
    written = sum(len(ids_of(made, line)) for line in LINES)
    assert tokens["longest_first"] < 0.8 * tokens["base"]
    assert written < 1.15 * tokens["longest_first"]


def test_what_cannot_be_is_refused(base):
    assert set(faults_of(AdaptiVocab, longest=1, added=0, size=500, split=Splitting.marks)) == {
        "longest", "added", "size", "split",
    }  # fmt: skip
    draws, pieces = random.Random(1), sorted(set(" ".join(LINES + ENGLISH)))
    noise = ["".join(draws.choices(pieces, k=60)) for _ in range(60)]
    with raises(ConfigError, "vocab.added"):
        AdaptiVocab(added=9000, min_frequency=1).build(
            base, VocabTexts(targets={"sw": lambda: noise})
        )
    with raises(CompatibilityError, "vocab=adaptivocab"):
        unigram = base_tokenizer(TokenizerKind.sentencepiece_unigram)
        AdaptiVocab(added=10).build(unigram, vocab_texts())
