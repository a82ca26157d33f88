"""BPE that goes on where a finished tokenizer stopped: borders, order, what it must leave alone."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from franken.config.base_model import TokenizerKind
from franken.tokenizer.compose import replay
from franken.tokenizer.continued import continue_merges
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.reachability import unreachable_pieces
from franken.tokenizer.token_words import FIRST_LETTER, TokenWords, WordReader
from franken.tokenizer.word_counts import WordCounter
from franken.vocab import VocabTexts
from franken.vocab.extension import ExtensionVocab
from tests.vocab.toys import (
    BPE_KINDS,
    ENGLISH,
    ENGLISH_WORDS,
    STRUCTURES,
    TARGETS,
    base_tokenizer,
    ids_of,
    llama3_like,
    spec_of,
    wrap,
)

NAMES = list("abcdefgh")


def words_of(counts):
    spelled = {
        "".join(chr(FIRST_LETTER + NAMES.index(char)) for char in word): count
        for word, count in counts.items()
    }
    return TokenWords(Counter(spelled))


def joined(word, pair):
    """The word with every occurrence of the pair as one symbol, from the left."""
    for index in range(len(word) - 1):
        if word[index : index + 2] == pair:
            return (*word[:index], "".join(pair), *joined(word[index + 2 :], pair))
    return word


def slow_merges(counts, count):
    """Count all pairs anew before each merge."""
    words = {tuple(word): number for word, number in counts.items()}
    order = {name: index for index, name in enumerate(NAMES)}
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, number in words.items():
            for pair in pairwise(word):
                pairs[pair] += number
        best = min(pairs, key=lambda pair: (-pairs[pair], order[pair[0]], order[pair[1]]))
        merges.append(best)
        order.setdefault("".join(best), len(order))
        merged = Counter()
        for word, number in words.items():
            merged[joined(word, best)] += number
        words = merged
    return merges


def test_merges_are_those_of_counting_all_pairs_each_time():
    counts = {"abcabd": 5, "aabb": 7, "abab": 3, "cdcd": 4, "hgfe": 9, "ghgh": 6, "aaaa": 2}
    found = continue_merges(words_of(counts), NAMES, 9)
    assert found.merges == slow_merges(counts, 9)
    assert found.counts == sorted(found.counts, reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_merges_are_those_of_counting_anew_where_letters_repeat(seed):
    draw = random.Random(seed)
    counts = {
        "".join(draw.choices("abc", k=draw.randint(1, 9))): draw.randint(1, 9) for _ in range(40)
    }
    found = continue_merges(words_of(counts), NAMES, 12)
    assert found.merges[:12] == slow_merges(counts, 12)


def test_no_words_give_no_merges():
    assert continue_merges(words_of({"a": 5}), NAMES, 9).merges == []
    assert continue_merges(words_of({}), NAMES, 9).merges == []


def test_guarded_pairs_and_tokens_apart_are_never_merged():
    counts = {"abc": 9, "abd": 9}
    assert continue_merges(words_of(counts), NAMES, 9, guarded={(0, 1)}).pieces == [
        "bc",
        "abc",
        "bd",
        "abd",
    ]
    assert continue_merges(words_of(counts), NAMES, 9, apart={2}).pieces == ["ab", "abd"]
    assert continue_merges(words_of(counts), NAMES, 9, longest=2).pieces == ["ab"]


@pytest.mark.parametrize("name", [*STRUCTURES, "byte_level_bpe", "sentencepiece_bpe"])
def test_no_new_piece_crosses_the_border_of_a_word(name):
    base = STRUCTURES[name]() if name in STRUCTURES else base_tokenizer(TokenizerKind(name))
    lines = ["nina kula chakula (kizuri), ana-kula 12 34."] * 50 + TARGETS["sw"]
    result = ExtensionVocab(added=150).build(
        base, VocabTexts(lambda: ENGLISH, {"sw": lambda: lines})
    )
    new = result.tokenizer.get_vocab().keys() - base.get_vocab().keys()
    assert len(new) > 80
    assert [piece for piece in new if set(piece[1:]) & {"▁", "Ġ"}] == []
    assert unreachable_pieces(result.tokenizer, new) == []


@pytest.mark.parametrize("kind", BPE_KINDS)
def test_a_word_reader_reads_the_tokens_of_the_tokenizer(kind):
    base = base_tokenizer(kind)
    names = sorted(base.get_vocab(), key=base.get_vocab().__getitem__)
    lines = [*ENGLISH[:50], *TARGETS["ta"][:9], "", " <eos> odd  (lines), 12 "]
    pipeline = pipeline_of(base)
    counted = WordCounter(pipeline).count(lines)
    found = WordReader(base, pipeline, names).read([counted])
    ids = Counter(index for line in lines for index in ids_of(base, line))
    assert {index: count for index, count in enumerate(found.usage) if count} == ids
    spelled = {
        "".join(names[ord(letter) - FIRST_LETTER] for letter in word) for word in found.words
    }
    assert {word.strip("▁Ġ") for word in spelled} >= set(ENGLISH_WORDS[:10])


def test_source_text_keeps_its_segmentation():
    """The targets are full of English letters in another order."""
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    lines = [" ".join(word[::-1] + word for word in line.split()) for line in ENGLISH[:300]]
    texts = VocabTexts(lambda: ENGLISH, {"xx": lambda: lines})
    result = ExtensionVocab(added=200).build(base, texts)
    assert [base.tokenize(line) for line in ENGLISH] == [
        result.tokenizer.tokenize(line) for line in ENGLISH
    ]
    before = sum(len(ids_of(base, line)) for line in lines)
    assert sum(len(ids_of(result.tokenizer, line)) for line in lines) < 0.8 * before


def test_reachability_asks_the_pre_tokenizer_also_where_merges_are_ignored():
    spec = spec_of(llama3_like())
    assert spec["model"]["ignore_merges"] is True
    size = len(spec["model"]["vocab"])
    spec["model"]["vocab"]["theĠhouse"] = 90_000 + size
    spec["model"]["vocab"]["zzz"] = 90_001 + size
    tokenizer = wrap(spec)
    assert unreachable_pieces(tokenizer, ["theĠhouse", "zzz", "Ġhouse"]) == ["theĠhouse"]


def test_every_new_piece_can_be_built_by_merges_where_the_model_ignores_them():
    base = llama3_like()
    texts = VocabTexts(lambda: ENGLISH, {"sw": lambda: TARGETS["sw"]})
    result = ExtensionVocab(added=100).build(base, texts)
    new = [p for p in result.tokenizer.get_vocab() if p not in base.get_vocab()]
    merges = pipeline_of(result.tokenizer).merges
    ranks = {merge: rank for rank, merge in reversed(list(enumerate(merges)))}
    assert all(piece in replay(piece, ranks)[1] for piece in new)
