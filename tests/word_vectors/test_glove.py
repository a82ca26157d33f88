"""GloVe: counts of pairs against a loop, one step against autograd, and what training reaches."""

import numpy as np
import pytest
import torch

from franken.errors import DataError
from franken.word_vectors.common import cooccurrence
from franken.word_vectors.common.cooccurrence import cooccurrences
from franken.word_vectors.glove import GloveVectors, fit_glove, glove_space
from tests.faults import faults_of, raises

CONFIG = GloveVectors(dim=8, window=3, epochs=4, min_count=1)


def sentences(count=40, words=12, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.integers(-1, words, generator.integers(0, 9)).tolist() for _ in range(count)]


def slow_counts(lines, window):
    counts = {}
    for line in lines:
        for here, first in enumerate(line):
            for there, second in enumerate(line):
                distance = abs(here - there)
                if 0 < distance <= window and first >= 0 and second >= 0:
                    counts[first, second] = counts.get((first, second), 0) + 1 / distance
    return counts


@pytest.mark.parametrize("flush", [10, 1 << 20])
def test_pairs_are_counted_both_ways_by_their_distance(monkeypatch, flush):
    monkeypatch.setattr(cooccurrence, "_FLUSH", flush)
    lines = sentences()
    first, second, counts = cooccurrences(lines, 12, 3)
    found = dict(zip(zip(first.tolist(), second.tolist(), strict=True), counts, strict=True))
    assert found == pytest.approx(slow_counts(lines, 3))


def test_one_pass_of_one_block_is_an_adagrad_step_along_the_gradient():
    first, second, counts = cooccurrences(sentences(), 12, 3)
    config = GloveVectors(dim=4, epochs=1, x_max=2.0, lr=0.1)
    found = fit_glove(first, second, counts, 12, config, 5)
    start = (torch.rand(2, 12, 5, generator=torch.Generator().manual_seed(5)) - 0.5) / 5
    start.requires_grad_()
    left, right = start[0][first], start[1][second]
    error = (left[:, :4] * right[:, :4]).sum(1) + left[:, 4] + right[:, 4]
    error = error - torch.from_numpy(counts).log()
    share = (torch.from_numpy(counts) / 2).clamp(max=1) ** 0.75
    loss = 0.5 * (share * error.square()).sum()
    (slope,) = torch.autograd.grad(loss, start)
    # The right side is moved after the left, from the same errors and the old vectors.
    step = (start - 0.1 * slope).detach()
    torch.testing.assert_close(found, (step[0] + step[1])[:, :4], rtol=1e-4, atol=1e-5)


def test_words_of_equal_company_come_to_lie_near_each_other():
    generator = np.random.default_rng(1)
    lines = []
    for _ in range(400):
        pet = "cat" if generator.random() < 0.5 else "dog"
        city = "rome" if generator.random() < 0.5 else "oslo"
        lines += [["the", pet, "eats", "and", "sleeps"], ["trains", "to", city, "leave", "late"]]
    space = glove_space(lines, GloveVectors(dim=8, window=2, epochs=30), 0, what="text")
    vectors = torch.nn.functional.normalize(space.vectors, dim=1)
    at = space.index
    near = vectors[at["cat"]] @ vectors[at["dog"]]
    assert near > vectors[at["cat"]] @ vectors[at["rome"]] + 0.3


def test_equal_seeds_give_equal_bytes_and_words_come_by_frequency():
    lines = [["a", "b", "a"], ["b", "a", "c"]] * 3
    first, second = (glove_space(lines, CONFIG, 3, what="text") for _ in range(2))
    assert first.words == ["a", "b", "c"]
    assert first.counts.tolist() == [9, 6, 3]
    assert torch.equal(first.vectors, second.vectors)
    assert not torch.equal(first.vectors, glove_space(lines, CONFIG, 4, what="text").vectors)


def test_text_without_pairs_is_refused():
    with raises(DataError, "text", "word_vectors.min_count"):
        glove_space([["a"], ["b"]], CONFIG, 0, what="text")


def test_options_out_of_range_are_named():
    assert set(faults_of(GloveVectors, window=0, x_max=0.0)) == {"window", "x_max"}
