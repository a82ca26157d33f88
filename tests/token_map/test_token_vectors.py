"""Vectors of pieces in spaces of words."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import InitResources
from franken.token_map import token_vectors
from franken.token_map.options import SpaceAlignment
from franken.token_map.token_vectors import (
    OFA_FORMS,
    RUNNING,
    WECHSEL_FORMS,
    Weighting,
    decoded_vectors,
    languages_in_one_space,
    piece_space_vectors,
    pooled_vectors,
    target_spaces,
    texts_of,
)
from franken.tokenizer.pieces import canonical_bytes, encode_piece
from franken.word_vectors import VectorSpace
from tests.faults import raises
from tests.init_method.spaces import ONE_TO_ONE, piece_spaces, rotation, word_spaces
from tests.init_method.tiny import source_tokenizer, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


def space(words: dict[str, list[float]], counts=None, ngrams=None):
    return VectorSpace(
        list(words),
        torch.tensor(list(words.values())),
        None if counts is None else torch.tensor(counts),
        ngrams,
        3,
        3,
    )


def test_text_of_pieces():
    pieces = [b" house", "ት".encode(), b"\xe1\x89", None, b"  ", b"\x00", b" a b "]
    assert texts_of(pieces) == ["house", "ት", "", "", "", "", "a b"]


def test_a_text_is_looked_up_without_its_space():
    vectors, known = decoded_vectors([b" a", b"a", b"b", None], [space({"a": [1.0, 2.0]})])
    assert known.tolist() == [True, True, False, False]
    assert vectors[:2].tolist() == [[1, 2], [1, 2]]


def test_languages_are_weighed_by_their_counts_and_guesses_come_last():
    grams = torch.tensor([[6.0, 0.0]])
    first = space({"a": [1.0, 0.0], "b": [0.0, 2.0]}, [30, 1], grams)
    second = space({"a": [0.0, 1.0]}, [10], grams * 2)
    vectors, known = decoded_vectors([b"a", b"b", b"xyz"], [first, second])
    assert known.all()
    assert vectors.tolist() == [[0.75, 0.25], [0.0, 2.0], [9.0, 0.0]]


def test_a_piece_is_the_weighted_mean_of_the_words_that_hold_it():
    """Worked by hand: three words of two pieces each."""
    tokenizer = target_tokenizer(KIND)
    words = ["nyumba", "nyumbani", "kitabu"]
    vectors = {"nyumba": [1.0, 0.0], "nyumbani": [0.0, 1.0], "kitabu": [4.0, 4.0]}
    holds = {word: set(encode_piece(tokenizer, f" {word}".encode())) for word in words}
    shared = sorted(holds["nyumba"] | holds["nyumbani"])
    for weighting, weights in (
        (Weighting.counts, [6.0, 2.0, 1.0]),
        (Weighting.equal, [1.0, 1.0, 1.0]),
        (Weighting.inverse_rank, [1.0, 1 / 2, 1 / 3]),
    ):
        found, known = pooled_vectors(
            tokenizer, 480, [space(vectors, [6, 2, 1])], weighting=weighting, forms=RUNNING
        )
        for row in shared:
            inside = [w for w, word in zip(weights, words, strict=True) if row in holds[word]]
            expected = sum(
                weight * torch.tensor(vectors[word])
                for weight, word in zip(weights, words, strict=True)
                if row in holds[word]
            ) / sum(inside)
            assert torch.allclose(found[row], expected, atol=1e-6)
        assert set(known.nonzero().flatten().tolist()) == set.union(*holds.values())


def test_forms_count_each_on_their_own_and_languages_are_pooled():
    tokenizer = target_tokenizer(KIND)
    left, right = space({"nyumba": [1.0, 0.0]}), space({"maji": [0.0, 1.0]})
    found, known = pooled_vectors(
        tokenizer, 480, [left, right], weighting=Weighting.equal, forms=WECHSEL_FORMS
    )
    pieces = canonical_bytes(tokenizer)
    assert found[pieces.index(b" nyumba")].tolist() == [1, 0]
    assert found[pieces.index(b" maji")].tolist() == [0, 1]
    bare = set(encode_piece(tokenizer, b"nyumba")) & set(encode_piece(tokenizer, b"maji"))
    for row in bare:
        assert found[row].tolist() == [0.5, 0.5]
    _, fewer = pooled_vectors(
        tokenizer, 480, [left], weighting=Weighting.counts, forms=RUNNING, max_words=0
    )
    assert not fewer.any()
    assert known.any()


def test_translations_meet_in_the_space_of_the_source():
    resources = InitResources(
        languages=["sw", "am"], lexicons=ONE_TO_ONE, word_vectors=word_spaces(ngrams=False)
    )
    apart, _ = languages_in_one_space(resources, SpaceAlignment.none, "wechsel")
    found, pairs = languages_in_one_space(resources, SpaceAlignment.lexicon, "wechsel")
    assert pairs["am"] == 2 * 3 * 3  # house, House, water and Water are in the text
    house, nyumba = found["en"].lookup(["house"])[0], found["sw"].lookup(["nyumba"])[0]
    assert torch.allclose(house, nyumba, atol=1e-4)
    assert not torch.allclose(house, apart["sw"].lookup(["nyumba"])[0], atol=0.1)
    assert [s.words for s in target_spaces(found, resources)] == [
        found["sw"].words,
        found["am"].words,
    ]


def test_identical_words_align_where_asked():
    words = {f"{index}": [float(index == column) for column in range(4)] for index in range(4)}
    source = space(words)
    target = source.transformed(rotation("x", 4))
    resources = InitResources(languages=["sw"], word_vectors={"en": source, "sw": target})
    found, pairs = languages_in_one_space(resources, SpaceAlignment.identical, "ramen")
    assert pairs == {"sw": 4}
    assert torch.allclose(found["sw"].vectors, source.vectors, atol=1e-6)


def test_what_is_missing_is_named():
    spaces = word_spaces()
    lexicon, none = SpaceAlignment.lexicon, SpaceAlignment.none
    with raises(DataError, "init_method=wechsel", "InitResources"):
        languages_in_one_space(InitResources(languages=["sw"]), none, "wechsel")
    with raises(DataError, "init_method=ofa", "'tr'", "am, en, sw"):
        languages_in_one_space(InitResources(languages=["tr"], word_vectors=spaces), none, "ofa")
    with raises(DataError, "init_method=m", "sw", "lexicon", "init_method.align=identical"):
        languages_in_one_space(InitResources(languages=["sw"], word_vectors=spaces), lexicon, "m")
    with raises(DataError, "init_method=m", "target"):
        languages_in_one_space(InitResources(word_vectors={"en": spaces["en"]}), none, "m")
    narrow = {**spaces, "sw": space({"maji": [1.0, 2.0]})}
    given = InitResources(languages=["sw"], word_vectors=narrow, lexicons=ONE_TO_ONE)
    for align in (none, lexicon):
        with raises(DataError, "init_method=m", "sw", 2, 16):
            languages_in_one_space(given, align, "m")


def test_pieces_are_found_by_label():
    source, target = source_tokenizer(KIND), target_tokenizer(KIND)
    spaces = piece_spaces(source, target)
    vectors, known = piece_space_vectors(spaces, "target", target, "focus", ngrams=False)
    pieces = canonical_bytes(target)
    row = pieces.index(b" nyumba")
    assert torch.equal(vectors[row], spaces["target"].lookup(["▁nyumba"])[0][0])
    special = [index for index, data in enumerate(pieces) if data is None]
    more = piece_space_vectors(spaces, "target", target, "focus", ngrams=True)[1]
    assert not more[special].any()
    assert int(more.sum()) > int(known.sum())
    with raises(DataError, "init_method=m", "source", "target"):
        piece_space_vectors({"target": spaces["target"]}, "source", source, "m", ngrams=True)


def pooled(target, spaces):
    rows = len(canonical_bytes(target))
    return pooled_vectors(target, rows, spaces, weighting=Weighting.counts, forms=OFA_FORMS)


def decoded(target, spaces):
    return decoded_vectors(canonical_bytes(target), spaces)


@pytest.mark.parametrize("make", [pooled, decoded])
def test_small_batches_give_the_same_bits(make, target, resources, monkeypatch):
    found, _ = languages_in_one_space(resources, SpaceAlignment.lexicon, "ofa")
    whole, known = make(target, list(found.values()))
    monkeypatch.setattr(token_vectors, "_ROWS", 7)
    monkeypatch.setattr(token_vectors, "_COLUMNS", 3)
    parts, still_known = make(target, list(found.values()))
    assert torch.equal(whole, parts)
    assert torch.equal(known, still_known)
    assert 0 < int(known.sum()) < len(known)
