"""BPE for the language that is worst off: against counting anew, and what it does to costs."""

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, DataError
from franken.tokenizer.continued import Learner, continue_merges
from franken.tokenizer.parity import Measured, continue_in_parity
from franken.tokenizer.reachability import unreachable_pieces
from franken.tokenizer.token_words import TokenWords
from franken.vocab import VocabTexts
from franken.vocab.extension import ExtensionVocab
from franken.vocab.parity_bpe import ParityBpeVocab
from tests.faults import raises
from tests.tokenizer.test_continued import NAMES, joined, words_of
from tests.vocab.toys import BPE_KINDS, ENGLISH, TARGETS, base_tokenizer, ids_of, vocab_texts


def drawn(letters, seed, lines=30):
    draw = random.Random(seed)
    return {
        "".join(draw.choices(letters, k=draw.randint(2, 9))): draw.randint(1, 9)
        for _ in range(lines)
    }


def measured(counts, units):
    words = words_of(counts)
    usage = np.array([sum(len(word) * n for word, n in counts.items())])
    return Measured(TokenWords(words.words, usage), units)


def slow(training, judged, units, count, window=None, alpha=2.0):
    """Cut all texts anew after every merge, count all pairs anew before it."""
    order = {name: index for index, name in enumerate(NAMES)}
    texts = {name: {tuple(word): n for word, n in counts.items()} for name, counts in training}
    judges = {name: {tuple(word): n for word, n in counts.items()} for name, counts in judged}
    merges, chosen, left = [], [], list(texts)

    def cost(name):
        return sum(len(word) * n for word, n in judges[name].items()) / units[name]

    while len(merges) < count and left:
        recent = chosen[-window:] if window else []
        rested = [n for n in left if not window or recent.count(n) <= alpha * window / len(texts)]
        worst = max(rested or left, key=cost)
        pairs = Counter()
        for word, n in texts[worst].items():
            for pair in pairwise(word):
                pairs[pair] += n
        if max(pairs.values(), default=0) < 2:
            left.remove(worst)
            continue
        best = min(pairs, key=lambda p: (-pairs[p], order[p[0]], order[p[1]]))
        merges.append(best)
        chosen.append(worst)
        order.setdefault("".join(best), len(order))
        for text in (texts, judges):
            for name, words in text.items():
                merged = Counter()
                for word, n in words.items():
                    merged[joined(word, best)] += n
                text[name] = merged
    return merges, Counter(chosen)


@pytest.mark.parametrize("window", [None, 4])
def test_merges_and_choices_are_those_of_counting_anew(window):
    training = {"x": drawn("abc", 1), "y": drawn("cde", 2), "z": drawn("fgh", 3, lines=3)}
    judged = {"x": drawn("abc", 4), "y": drawn("cde", 5), "z": drawn("fgh", 6)}
    units = {"x": 40, "y": 60, "z": 45}
    found = continue_in_parity(
        {name: words_of(counts) for name, counts in training.items()},
        {name: measured(counts, units[name]) for name, counts in judged.items()},
        Learner(NAMES, 20), window=window, alpha=1.2,
    )  # fmt: skip
    merges, chosen = slow(training.items(), judged.items(), units, 20, window, 1.2)
    assert found.continuation.merges[:20] == merges
    assert found.chosen == dict(chosen)
    for name, (before, _) in found.costs.items():
        assert before == sum(len(w) * n for w, n in judged[name].items()) / units[name]


def test_one_language_is_plain_bpe():
    counts = drawn("abcd", 7)
    found = continue_in_parity(
        {"x": words_of(counts)}, {"x": measured(counts, 10)}, Learner(NAMES, 15)
    )
    assert found.continuation == continue_merges(words_of(counts), NAMES, 15)


@pytest.mark.parametrize("kind", BPE_KINDS)
def test_costs_come_together_and_nothing_of_the_base_moves(tmp_path, kind):
    base = base_tokenizer(kind)
    for language, lines in TARGETS.items():
        tmp_path.joinpath(language).write_text("\n".join(lines[:100]), encoding="utf-8")
    dev = {language: str(tmp_path / language) for language in TARGETS}
    fair = ParityBpeVocab(added=200, dev=dev).build(base, vocab_texts())
    plain = ExtensionVocab(added=200).build(base, vocab_texts())
    vocab = fair.tokenizer.get_vocab()
    assert {piece: vocab[piece] for piece in base.get_vocab()} == base.get_vocab()
    assert len(vocab) == len(base) + 200
    new = [piece for piece in vocab if piece not in base.get_vocab()]
    assert not unreachable_pieces(fair.tokenizer, new)
    costs = {}
    for name, tokenizer in (("fair", fair.tokenizer), ("plain", plain.tokenizer)):
        per_line = [
            sum(len(ids_of(tokenizer, line)) for line in lines[:100]) / 100
            for lines in TARGETS.values()
        ]
        costs[name] = max(per_line) - min(per_line)
    assert costs["fair"] < costs["plain"]
    told = fair.report["parity"]["tokens_per_unit"]
    assert max(t["after"] for t in told.values()) < max(t["before"] for t in told.values())


def test_texts_that_do_not_say_the_same_are_refused(tmp_path):
    for language, lines in (("sw", 3), ("ta", 3), ("am", 2)):
        tmp_path.joinpath(language).write_text("neno\n" * lines, encoding="utf-8")
    base, dev = base_tokenizer(BPE_KINDS[0]), {name: str(tmp_path / name) for name in TARGETS}
    with raises(DataError, "vocab.dev", 2, 3):
        ParityBpeVocab(added=10, dev=dev).build(base, vocab_texts())
    with raises(DataError, "vocab.dev", "am, sw"):
        del dev["ta"]
        ParityBpeVocab(added=10, dev=dev).build(base, vocab_texts())
    texts = VocabTexts(lambda: ENGLISH, {"sw": lambda: TARGETS["sw"]})
    with raises(CompatibilityError, "vocab=extension"):
        unigram = base_tokenizer(TokenizerKind.sentencepiece_unigram)
        ParityBpeVocab(added=10).build(unigram, texts)
