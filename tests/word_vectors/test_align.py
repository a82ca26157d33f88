"""Orthogonal Procrustes."""

import torch
from scipy.linalg import orthogonal_procrustes

from franken.errors import DataError
from franken.word_vectors import VectorSpace
from franken.word_vectors.common.align import aligned, expanded, identical_words, procrustes
from tests.faults import raises, unnamed


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation_of(size, seed=1):
    return torch.linalg.qr(drawn(size, size, seed=seed))[0]


def test_the_map_is_orthogonal_and_the_best_one():
    source, target = drawn(30, 5), drawn(30, 5, seed=2)
    found = procrustes(source, target)
    assert torch.allclose(found @ found.T, torch.eye(5), atol=1e-6)
    reference, _ = orthogonal_procrustes(source.double().numpy(), target.double().numpy())
    assert torch.allclose(found, torch.from_numpy(reference).float(), atol=1e-6)
    least = (source @ found - target).norm()
    others = [(source @ rotation_of(5, seed) - target).norm() for seed in range(50)]
    assert all(least < other for other in others)


def test_a_rotation_is_recovered():
    source, rotation = drawn(20, 6), rotation_of(6)
    assert torch.allclose(procrustes(source, source @ rotation), rotation, atol=1e-5)


def test_entries_are_tried_as_they_are_in_lower_and_in_title_case():
    pairs = expanded([("NASA", "nasa")])
    assert len(pairs) == 9
    assert set(pairs) == {(a, b) for a in ("NASA", "nasa", "Nasa") for b in ("nasa", "Nasa")}


def test_spaces_are_aligned_by_the_pairs_that_both_list():
    words = ["a", "b", "c", "d", "e", "only"]
    vectors, rotation = drawn(6, 3), rotation_of(3)
    target = VectorSpace([word.upper() for word in words[:5]], vectors[:5])
    source = VectorSpace(words, vectors @ rotation.T)
    pairs = [*zip("abcde", "ABCDE", strict=True), ("only", "NONE"), ("none", "A")]
    turned, used = aligned(source, target, pairs, what="sw")
    assert used == 5
    assert torch.allclose(turned.vectors, vectors, atol=1e-5)


def test_identical_words_are_those_of_both():
    left = VectorSpace(["2024", "Maji", "x"], drawn(3, 2))
    right = VectorSpace(["x", "maji", "2024"], drawn(3, 2))
    assert identical_words(left, right) == [("2024", "2024"), ("x", "x")]


def test_what_cannot_be_aligned_is_an_error_that_says_why():
    left, right = VectorSpace(["a"], drawn(1, 3)), VectorSpace(["b"], drawn(1, 3))
    with raises(DataError, "sw", 1, "word_vectors.min_count"):
        aligned(left, right, [("a", "a")], what="sw")
    with raises(DataError, "sw", 3, 4):
        aligned(left, VectorSpace(["a"], drawn(1, 4)), [("a", "a")], what="sw")


def test_too_few_pairs_are_a_warning_with_the_share_they_determine(caplog):
    words, vectors = list("abcdef"), drawn(6, 4)
    left, right = VectorSpace(words, vectors), VectorSpace(words, vectors @ rotation_of(4))
    aligned(left, right, [(word, word) for word in words], what="sw")
    assert not caplog.records
    aligned(left, right, [("a", "a"), ("a", "a"), ("b", "b")], what="sw")
    assert not unnamed(caplog.text, "sw", 2, 4)
