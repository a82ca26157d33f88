"""Training steps against autograd, examples against a loop over the text, hashes against gensim."""

import numpy as np
import pytest
import torch
from gensim.models.fasttext import ft_ngram_hashes
from torch.nn.functional import softplus

from franken.word_vectors.common.examples import Corpus, Lists
from franken.word_vectors.common.ngrams import hashed_ngrams
from franken.word_vectors.common.sampling import Sampling

WORDS = ["nyumba", "ቤት", "x", "", "हिन्दी", "😀b😀", "<a>", "é", "▁Über"]


@pytest.mark.parametrize(
    ("shortest", "longest", "buckets"),
    [(3, 6, 2_000_000), (1, 3, 100), (5, 5, 77), (1, 1, 9), (2, 12, 1000), (1, 0, 5)],
)
def test_ngrams_fall_into_fasttexts_buckets(shortest, longest, buckets):
    flat, ends = hashed_ngrams(WORDS, shortest, longest, buckets)
    for index, word in enumerate(WORDS):
        expected = ft_ngram_hashes(word, shortest, longest, buckets)
        assert flat[ends[index] : ends[index + 1]].tolist() == list(expected)
    assert [part.tolist() for part in hashed_ngrams([], shortest, longest, buckets)] == [[], [0]]


def corpus(words=30, sentences=40):
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 14, sentences)
    text = draw.integers(0, words, lengths.sum())
    return Corpus(text, np.repeat(np.arange(sentences) * 3, lengths))


def sampling(skipgram):
    draw = np.random.default_rng(1)
    lengths = draw.integers(1, 4, 30)  # each word's own row first, n-grams behind all words
    ends = np.concatenate([[0], lengths.cumsum()])
    flat = draw.integers(30, 50, ends[-1])
    flat[ends[:-1]] = np.arange(30)
    text = corpus()
    counts = np.bincount(text.words, minlength=30) + 1
    return Sampling(text, counts, Lists(flat, ends), 3, 5, 0.0, 0.1, skipgram)


def examples_of(batches):
    """Words read and word predicted of every example, batch by batch."""
    count, size = batches.targets.shape
    for number in range(count):
        words = batches.words[batches.ends[number] : batches.ends[number + 1]]
        for example in range(size):
            places, _ = batches.inputs.part(number * size + example, number * size + example + 1)
            yield number, words[places].tolist(), int(batches.targets[number, example])


@pytest.mark.parametrize("skipgram", [False, True])
def test_examples_are_the_words_of_windows_in_the_same_sentence(skipgram):
    text, draw = corpus(), np.random.default_rng(3)
    (batches,) = text.batches(np.ones(30), 3, 16, skipgram=skipgram, draw=draw)
    again = np.random.default_rng(3)
    again.random(len(text.words))
    widths = again.integers(1, 4, len(text.words))
    expected = []
    for place, width in enumerate(widths):
        near = [
            int(text.words[other])
            for other in range(max(0, place - width), min(len(text.words), place + width + 1))
            if other != place and text.sentences[other] == text.sentences[place]
        ]
        word = int(text.words[place])
        expected += [([word], other) for other in near] if skipgram else [(near, word)] * bool(near)
    found = [(read, target) for _, read, target in examples_of(batches) if read]
    assert sorted(found) == sorted(expected)
    assert [sorted(found[k : k + 16]) for k in range(0, len(found) - 16, 16)] == [
        sorted(expected[k : k + 16]) for k in range(0, len(found) - 16, 16)
    ]


def test_readers_are_the_inputs_the_other_way_round():
    draw = np.random.default_rng(3)
    (batches,) = corpus().batches(np.ones(30), 3, 8, skipgram=False, draw=draw)
    for number, (first, last) in enumerate(zip(batches.ends, batches.ends[1:], strict=False)):
        forwards, backwards = set(), set()
        for example in range(8):
            places, _ = batches.inputs.part(number * 8 + example, number * 8 + example + 1)
            forwards |= {(example, int(place)) for place in places}
        for place in range(first, last):
            readers, _ = batches.readers.part(place, place + 1)
            backwards |= {(int(example), place - first) for example in readers}
        assert forwards == backwards


@pytest.mark.parametrize("skipgram", [False, True])
def test_a_step_goes_down_the_gradient_of_the_loss(skipgram):
    trained, draw = sampling(skipgram), np.random.default_rng(4)
    (batches,) = trained.corpus.batches(np.ones(30), 3, 32, skipgram=skipgram, draw=draw)
    noise = draw.integers(0, 30, (len(batches.targets), 2, 7))
    rates = draw.random(len(noise))
    generator = torch.Generator().manual_seed(0)
    table, output = (torch.randn(n, 6, generator=generator).double() for n in (50, 30))
    for number, step in enumerate(trained.steps(batches, noise, rates)):
        hidden = torch.zeros(32, 6, dtype=torch.float64)
        rows_read = []
        for example, (_, words, _) in enumerate(
            each for each in examples_of(batches) if each[0] == number
        ):
            rows = trained.rows.take(np.array(words, np.int64)).flat
            rows_read.append(rows)
            if len(rows):
                hidden[example] = table[rows].mean(0)
        hidden.requires_grad_()
        right = output.clone().requires_grad_()
        loss = torch.zeros((), dtype=torch.float64)
        for example, target in enumerate(batches.targets[number].tolist()):
            loss = loss + softplus(-hidden[example] @ right[target])
            for word in noise[number, example // 16].tolist():
                if word != target:
                    loss = loss + 5 / 7 * softplus(hidden[example] @ right[word])
        loss.backward()
        expected = table.clone()
        for example, rows in enumerate(rows_read):
            for row in rows:
                expected[row] -= rates[number] * hidden.grad[example]
        table32, output32 = table.float(), output.float()
        step.take(table32, output32)
        torch.testing.assert_close(table32.double(), expected, atol=2e-5, rtol=1e-5)
        moved = output - rates[number] * right.grad
        torch.testing.assert_close(output32.double(), moved, atol=2e-5, rtol=1e-5)


def test_the_loss_falls_and_no_noise_word_is_the_target():
    trained = sampling(skipgram=False)
    table = (torch.rand(50, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1) / 6

    def loss(output):
        (batches,) = trained.corpus.batches(
            np.ones(30), 3, 1, skipgram=False, draw=np.random.default_rng(9)
        )
        share = torch.from_numpy(trained.counts**0.75 / (trained.counts**0.75).sum()).float()
        total = 0.0
        for _, words, target in examples_of(batches):
            logits = output @ table[trained.rows.take(np.array(words)).flat].mean(0)
            others = softplus(logits) * share
            total += float(softplus(-logits[target]) + 5 * (others.sum() - others[target]))
        return total / len(batches.targets)

    before = loss(torch.zeros(30, 6))
    assert loss(trained.train(table, 40, 0)) < before


def test_batches_shrink_where_words_meet_and_where_steps_are_long():
    trained = sampling(skipgram=False)
    even = np.ones(30)
    usual = trained.batch_size(even)
    trained.lr /= 4
    assert trained.batch_size(even) == 4 * usual
    trained.lr *= 1000
    assert trained.batch_size(even) == 1
