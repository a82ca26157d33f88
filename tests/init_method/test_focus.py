"""FOCUS: sparsemax over the overlap in vectors of the target pieces."""

import logging

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.focus import FocusInit
from franken.token_map.options import SpaceAlignment
from franken.token_map.token_vectors import decoded_vectors, piece_space_vectors
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from franken.word_vectors import VectorSpace
from franken.word_vectors.base import VectorUnit
from tests.faults import raises, unnamed
from tests.init_method.spaces import (
    cosines,
    dense,
    projected_on_simplex,
    resources_of,
    rotation,
    word_spaces,
)
from tests.init_method.tiny import edited, source_table, target_tokenizer, text_ids

KINDS = list(TokenizerKind)
KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def fitted(source, target, resources):
    return fit_map(source, target, FocusInit(), resources, 0)


def text_overlap(source, target):
    pieces = canonical_bytes(target)
    overlap = vocabulary_overlap(source.tokenizer, target)
    return {row: old for row, old in overlap.items() if pieces[row] is not None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.2])
def test_weights_are_the_dense_sparsemax_over_the_usable_overlap(kind, temperature):
    source, target = source_table(kind), target_tokenizer(kind)
    resources = resources_of(source.tokenizer, target)
    config = FocusInit(temperature=temperature)
    found = fit_map(source, target, config, resources, 0)
    vectors, known = piece_space_vectors(
        resources.piece_vectors, "target", target, "focus", ngrams=False
    )
    overlap = text_overlap(source, target)
    anchors = [row for row in overlap if known[row]]
    columns = [overlap[row] for row in anchors]
    rows = (found.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(rows) > 10
    matrix = dense(found).numpy()
    for row in rows:
        expected = np.zeros(found.source_rows)
        scores = cosines(vectors[[row]], vectors[anchors])[0] / temperature
        np.add.at(expected, columns, projected_on_simplex(scores))
        assert np.allclose(matrix[row], expected, atol=2e-5)
        assert matrix[row].min() >= 0
        assert abs(matrix[row].sum() - 1) < 1e-6


def test_the_overlap_is_copied_bit_for_bit(source, target, resources):
    table, token_map = initialise(source, target, FocusInit(), resources, 0)
    for row, old in text_overlap(source, target).items():
        assert token_map.provenance[row] == Provenance.copied
        assert torch.equal(table.input[row], source.input[old])
    assert bool((table.input != 0).any(1).all())


def test_without_copies_an_anchor_is_mostly_itself(source, target, resources):
    found = fit_map(source, target, FocusInit(copy_overlap=False, temperature=0.05), resources, 0)
    known = piece_space_vectors(resources.piece_vectors, "target", target, "focus", ngrams=False)[1]
    for row, old in text_overlap(source, target).items():
        if known[row]:
            assert found.provenance[row] == Provenance.computed
            assert found.row(row)[0][0] == old


def test_turning_the_space_changes_nothing(source, target, resources, fitted):
    turned = {"target": resources.piece_vectors["target"].transformed(rotation("any"))}
    again = fit_map(
        source, target, FocusInit(),
        resources_of(source.tokenizer, target, piece_vectors=turned), 0,
    )  # fmt: skip
    assert torch.allclose(dense(again), dense(fitted), atol=1e-5)


def test_the_numbering_of_the_target_does_not_matter(source, target, resources, fitted):
    ids = text_ids(target)
    turned = dict(zip(ids, reversed(ids), strict=True))
    other = fit_map(source, edited(target, turned), FocusInit(), resources, 0)
    order = [turned.get(row, row) for row in range(fitted.rows)]
    assert torch.equal(dense(other)[order], dense(fitted))


def test_rare_pieces_fall_back_unless_ngrams_may_serve(source, target, resources, fitted):
    pieces = canonical_bytes(target)
    rare = resources.piece_vectors["target"]
    kept = [word for word in rare.words if word != "▁nyumba"]
    vectors = rare.lookup(kept)[0]
    space = VectorSpace(kept, vectors, None, rare.ngrams, rare.min_n, rare.max_n)
    less = resources_of(source.tokenizer, target, piece_vectors={"target": space})
    row = pieces.index(b" nyumba")
    without = fit_map(source, target, FocusInit(), less, 0)
    served = fit_map(source, target, FocusInit(rare=True), less, 0)
    assert fitted.provenance[row] == Provenance.computed
    assert without.provenance[row] == Provenance.fallback
    assert served.provenance[row] == Provenance.computed
    notes, before = without.notes["focus"], fitted.notes["focus"]
    assert notes["pieces_without_vector"] == before["pieces_without_vector"] + 1
    assert notes["overlap"] == len(text_overlap(source, target))


def test_case_and_space_may_be_overlooked(source, target, resources):
    target_pieces, source_pieces = canonical_bytes(target), canonical_bytes(source.tokenizer)
    strict = fit_map(source, target, FocusInit(), resources, 0)
    fuzzy = fit_map(source, target, FocusInit(fuzzy=True), resources, 0)
    changed = [
        row
        for row in range(strict.rows)
        if strict.provenance[row] > Provenance.copied and fuzzy.row(row)[:1] != strict.row(row)[:1]
    ]
    single = [row for row in changed if len(fuzzy.row(row)) == 1]
    assert single
    for row in single:
        index, weight = fuzzy.row(row)[0]
        assert weight == 1.0
        new, old = target_pieces[row].decode(), source_pieces[index].decode()
        assert new != old
        assert new.strip().lower() == old.strip().lower()


def test_words_serve_where_pieces_have_no_vectors(source, target):
    spaces = word_spaces()
    config = FocusInit(unit=VectorUnit.words)
    resources = resources_of(
        source.tokenizer, target, languages=["sw"], word_vectors={"sw": spaces["sw"]},
        piece_vectors={},
    )  # fmt: skip
    found = fit_map(source, target, config, resources, 0)
    vectors, known = decoded_vectors(canonical_bytes(target), [spaces["sw"]])
    overlap = text_overlap(source, target)
    anchors = [row for row in overlap if known[row]]
    row = canonical_bytes(target).index(b" nyumba")
    expected = np.zeros(found.source_rows)
    weights = projected_on_simplex(cosines(vectors[[row]], vectors[anchors])[0])
    np.add.at(expected, [overlap[anchor] for anchor in anchors], weights)
    assert np.allclose(dense(found)[row].numpy(), expected, atol=2e-5)
    several = resources_of(source.tokenizer, target)
    assert fit_map(source, target, config, several, 0).counts()["computed"] > 0
    assert config.needs() == {"word_vectors"}
    assert FocusInit().needs() == {"piece_vectors"}
    assert FocusInit(align=SpaceAlignment.none).needs() == {"piece_vectors"}


def test_no_anchor_or_no_vectors_is_an_error(source, target):
    foreign = {"target": VectorSpace(["▁nyumba"], torch.ones(1, 4))}
    with raises(DataError, "init_method=focus", "anchor"):
        fit_map(
            source, target, FocusInit(),
            resources_of(source.tokenizer, target, piece_vectors=foreign), 0,
        )  # fmt: skip
    with raises(DataError, "init_method=focus", "piece vectors"):
        fit_map(
            source, target, FocusInit(),
            resources_of(source.tokenizer, target, piece_vectors={}), 0,
        )  # fmt: skip


def test_vectors_of_the_overlap_alone_are_a_warning(source, target, resources, caplog):
    full = resources.piece_vectors["target"]
    words = [word for word in full.words if word in ("▁the", "▁house", "▁water")]
    space = VectorSpace(words, full.lookup(words)[0])
    with caplog.at_level(logging.WARNING):
        found = fit_map(
            source, target, FocusInit(),
            resources_of(source.tokenizer, target, piece_vectors={"target": space}), 0,
        )  # fmt: skip
    assert not unnamed(caplog.text, "init_method=focus")
    assert found.counts()["computed"] == 0
