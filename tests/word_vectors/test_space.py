"""VectorSpace: look-ups, n-grams, files."""

import pytest
import torch
from gensim.models.fasttext import FastText

from franken.errors import ArtifactError, CompatibilityError
from franken.word_vectors import VectorSpace, load_spaces, save_spaces
from tests.faults import raises

SENTENCES = [["nyumba", "kubwa"], ["nyumba", "ndogo"], ["maji", "baridi"]] * 20


@pytest.fixture(scope="module")
def model():
    return FastText(
        SENTENCES, vector_size=6, min_count=1, bucket=50, min_n=2, max_n=4, workers=1, seed=3
    )


@pytest.fixture(scope="module")
def space(model):
    words = list(model.wv.index_to_key)
    counts = torch.tensor([model.wv.get_vecattr(word, "count") for word in words])
    return VectorSpace(
        words,
        torch.from_numpy(model.wv.vectors.copy()),
        counts,
        torch.from_numpy(model.wv.vectors_ngrams.copy()),
        2,
        4,
    )


def test_known_and_unseen_words_have_the_vectors_of_the_model(model, space):
    words = ["nyumba", "maji", "nyumbani", "ቤት", "x"]
    vectors, known = space.lookup(words)
    assert known.tolist() == [True] * 5
    expected = torch.stack([torch.from_numpy(model.wv[word].copy()) for word in words])
    assert torch.allclose(vectors, expected, atol=1e-6)
    assert torch.equal(vectors[0], space.vectors[space.index["nyumba"]])


def test_without_ngrams_unknown_words_are_zero_and_marked(space):
    vectors, known = space.lookup(["nyumbani", "maji"], ngrams=False)
    assert known.tolist() == [False, True]
    assert bool((vectors[0] == 0).all())
    bare = VectorSpace(["a", "zero"], torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    vectors, known = bare.lookup(["b", "a", "zero"])
    assert known.tolist() == [False, True, False]
    assert torch.equal(vectors[1], torch.tensor([1.0, 2.0]))


def test_an_orthogonal_change_of_basis_reaches_unseen_words_too(space):
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))
    words = ["nyumba", "nyumbani"]
    turned, _ = space.transformed(rotation).lookup(words)
    assert torch.allclose(turned, space.lookup(words)[0] @ rotation, atol=1e-6)


def test_spaces_come_back_from_disk_as_they_were(space, tmp_path):
    bare = VectorSpace(["▁a", "b c"], torch.eye(2))
    save_spaces({"sw": space, "target": bare}, tmp_path)
    found = load_spaces(tmp_path)
    assert sorted(found) == ["sw", "target"]
    assert found["sw"].words == space.words
    for name in ("vectors", "counts", "ngrams"):
        assert torch.equal(getattr(found["sw"], name), getattr(space, name))
    assert (found["sw"].min_n, found["sw"].max_n) == (2, 4)
    assert found["target"].words == ["▁a", "b c"]
    assert found["target"].counts is None
    assert found["target"].ngrams is None


def test_damage_is_an_error_that_says_where(space, tmp_path):
    with raises(ArtifactError, tmp_path, "*/space.json"):
        load_spaces(tmp_path)
    save_spaces({"sw": space}, tmp_path)
    file = tmp_path / "sw" / "vectors.safetensors"
    file.write_bytes(file.read_bytes()[:40])
    with raises(ArtifactError, tmp_path / "sw"):
        load_spaces(tmp_path)


def test_parts_that_do_not_belong_together_are_refused():
    with raises(CompatibilityError, 2, (3, 4)):
        VectorSpace(["a", "b"], torch.zeros(3, 4))
    with raises(CompatibilityError, 2, 1):
        VectorSpace(["a", "b"], torch.zeros(2, 4), torch.tensor([1]))
    with raises(CompatibilityError, 4, 3):
        VectorSpace(["a"], torch.zeros(1, 4), ngrams=torch.zeros(5, 3))
