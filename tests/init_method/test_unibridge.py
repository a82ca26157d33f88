"""UniBridge's FASE: lexical copies, semantic copies, sparsemax over both."""

import logging

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.unibridge import UnibridgeInit, mutual_neighbours
from franken.token_map.neighbours import Neighbours
from franken.token_map.similarity import nucleus_of
from franken.token_map.token_vectors import piece_space_vectors
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from franken.word_vectors import VectorSpace
from franken.word_vectors.common.pieces import piece_labels
from tests.bounds import one_error
from tests.faults import faults_of, raises, unnamed
from tests.init_method.spaces import (
    cosines,
    dense,
    drawn,
    projected_on_simplex,
    resources_of,
    rotation,
)
from tests.init_method.tiny import edited, row_of, text_ids

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def fitted(source, target, resources):
    return fit_map(source, target, UnibridgeInit(), resources, 0)


def with_twins(resources, source, target, pairs):
    """Spaces in which some target pieces have the vectors of unshared source pieces."""
    spaces = dict(resources.piece_vectors)
    words = [new for new, _ in pairs]
    rest = [word for word in spaces["target"].words if word not in words]
    vectors = torch.cat(
        [spaces["target"].lookup(rest)[0]]
        + [
            (spaces["source"].lookup([old])[0] @ rotation("source side").T) + 0.05 * drawn(old)
            for _, old in pairs
        ]
    )
    spaces["target"] = VectorSpace([*rest, *words], vectors)
    return resources_of(source.tokenizer, target, piece_vectors=spaces)


def test_mutual_neighbours_are_nearest_to_each_other_both_ways():
    left = torch.stack([drawn("left", str(index), size=5) for index in range(40)])
    right = torch.stack([drawn("right", str(index), size=5) for index in range(30)])
    similarity = cosines(left, right)
    expected = [
        (query, anchor)
        for query in range(40)
        for anchor in range(30)
        if similarity[query].argmax() == anchor and similarity[:, anchor].argmax() == query
    ]
    assert 3 < len(expected) < 30
    assert mutual_neighbours(left, right) == expected
    assert mutual_neighbours(left[:0], right) == mutual_neighbours(left, right[:0]) == []


def test_equal_pieces_are_copied_then_those_that_differ_by_case(source, target, fitted):
    overlap = vocabulary_overlap(source.tokenizer, target)
    new, old = canonical_bytes(target), canonical_bytes(source.tokenizer)
    folded = {
        data.decode().lower(): index
        for index, data in reversed(list(enumerate(old)))
        if data is not None and "\ufffd" not in data.decode(errors="replace") and data.strip()
    }
    by_case = 0
    for row in range(fitted.rows):
        text = new[row]
        if text is None or "\ufffd" in text.decode(errors="replace"):
            continue
        if row in overlap:
            assert fitted.provenance[row] == Provenance.copied
            assert fitted.row(row) == [(overlap[row], 1.0)]
        elif text.decode().lower() in folded:
            assert fitted.row(row) == [(folded[text.decode().lower()], 1.0)]
            by_case += 1
    assert by_case == fitted.notes["unibridge"]["folded_copies"]


def test_twins_in_the_two_spaces_take_each_others_rows_once_these_are_aligned(
    source, target, resources
):
    unshared = [
        word
        for word in resources.piece_vectors["source"].words
        if word not in resources.piece_vectors["target"].index and not word.startswith("<0x")
    ]
    assert unshared
    old = piece_labels(source.tokenizer).index(unshared[0])
    twins = with_twins(resources, source, target, [("▁nyumba", unshared[0])])
    row = row_of(target, " nyumba")
    table, found = initialise(source, target, UnibridgeInit(), twins, 0)
    assert found.row(row) == [(old, 1.0)]
    assert torch.equal(table.input[row], source.input[old])
    assert found.notes["unibridge"]["semantic_copies"] >= 1
    assert found.notes["unibridge"]["alignment_pieces"] > 16
    released = fit_map(source, target, UnibridgeInit(align=False), twins, 0)
    assert released.row(row) != [(old, 1.0)]
    without = fit_map(source, target, UnibridgeInit(semantic=False), twins, 0)
    assert without.row(row) != [(old, 1.0)]
    assert "semantic_copies" not in without.notes["unibridge"]


@pytest.mark.parametrize("options", [{"semantic": False}, {"temperature": 2.0}, {"rare": True}])
def test_the_rest_is_the_dense_sparsemax_over_both_kinds_of_copies(
    source, target, resources, options
):
    config = UnibridgeInit(**options)
    found = fit_map(source, target, config, resources, 0)
    matrix = dense(found)
    spaces = resources.piece_vectors
    vectors, known = piece_space_vectors(spaces, "target", target, "m", ngrams=True)
    own = piece_space_vectors(spaces, "target", target, "m", ngrams=config.rare)[1]
    text = torch.tensor([data is not None for data in canonical_bytes(target)])
    copies = (found.sizes() == 1) & text & own
    anchors = copies.nonzero().flatten().tolist()
    columns = [found.row(row)[0][0] for row in anchors]
    rest = ((found.sizes() > 1) & known).nonzero().flatten().tolist()
    assert len(rest) > 10
    for row in rest:
        expected = np.zeros(found.source_rows)
        scores = cosines(vectors[[row]], vectors[anchors])[0] / config.temperature
        np.add.at(expected, columns, projected_on_simplex(scores))
        assert np.allclose(matrix[row].numpy(), expected, atol=2e-5)


def test_a_nucleus_keeps_the_largest_weights_that_reach_its_share():
    """Worked by hand."""
    rows = np.array([0, 0, 0, 2, 2])
    weights = np.array([0.5, 0.3, 0.2, 0.9, 0.1])
    given = Neighbours(rows, np.arange(5), weights)
    found = nucleus_of(given, 0.8)
    assert found.rows.tolist() == [0, 0, 2]
    assert found.columns.tolist() == [0, 1, 3]
    assert np.allclose(found.weights, [0.625, 0.375, 1.0])
    assert nucleus_of(given, 0.81).columns.tolist() == [0, 1, 2, 3]


def test_a_smaller_nucleus_means_fewer_anchors(source, target, resources, fitted):
    small = fit_map(source, target, UnibridgeInit(nucleus=0.5), resources, 0)
    computed = fitted.sizes() > 1
    assert bool((small.sizes()[computed] <= fitted.sizes()[computed]).all())
    assert int(small.sizes().sum()) < int(fitted.sizes().sum())
    sums = dense(small).sum(1)[small.sizes() > 0]
    assert float((sums - 1).abs().max()) <= one_error(int(small.sizes().max()))


def test_the_numbering_of_the_target_does_not_matter(source, target, resources, fitted):
    ids = text_ids(target)
    turned = dict(zip(ids, reversed(ids), strict=True))
    other = fit_map(source, edited(target, turned), UnibridgeInit(), resources, 0)
    order = [turned.get(row, row) for row in range(fitted.rows)]
    assert torch.equal(dense(other)[order], dense(fitted))


def test_what_is_missing_is_named(source, target, resources):
    def refit(spaces, **options):
        given = resources_of(source.tokenizer, target, piece_vectors=spaces)
        return fit_map(source, target, UnibridgeInit(**options), given, 0)

    spaces = resources.piece_vectors
    with raises(DataError, "init_method=unibridge", "piece vectors"):
        refit({})
    with raises(DataError, "init_method=unibridge", "source", "target"):
        refit({"target": spaces["target"]})
    assert refit({"target": spaces["target"]}, semantic=False).counts()["computed"] > 0
    other = VectorSpace(["zzz"], torch.ones(1, 16))
    with raises(DataError, "pieces", 1):
        refit({**spaces, "source": other})
    narrow = VectorSpace(spaces["source"].words, spaces["source"].vectors[:, :3])
    with raises(DataError, 16, 3):
        refit({**spaces, "source": narrow}, align=False)
    alone = VectorSpace(["▁nyumba"], torch.ones(1, 16))
    with raises(DataError, "init_method=unibridge", "anchor"):
        refit({**spaces, "target": alone}, semantic=False)


def test_too_few_shared_pieces_leave_the_semantic_step_out(source, target, resources, caplog):
    spaces = dict(resources.piece_vectors)
    full = spaces["source"]
    shared = [word for word in full.words if word in spaces["target"].index][:5]
    words = [word for word in full.words if word not in spaces["target"].index] + shared
    spaces["source"] = VectorSpace(words, full.lookup(words)[0])
    given = resources_of(source.tokenizer, target, piece_vectors=spaces)
    with caplog.at_level(logging.WARNING):
        found = fit_map(source, target, UnibridgeInit(), given, 0)
    assert not unnamed(caplog.text, "init_method=unibridge", 5, 16, "word_vectors.dim")
    assert found.notes["unibridge"]["semantic_copies"] == 0
    lexical = fit_map(source, target, UnibridgeInit(semantic=False), given, 0)
    assert torch.equal(dense(found), dense(lexical))


def test_pieces_without_any_vector_fall_back_with_their_count(source, target, resources, caplog):
    full = resources.piece_vectors["target"]
    words = [word for word in full.words if word in ("▁the", "▁house", "▁water")]
    bare = {"target": VectorSpace(words, full.lookup(words)[0])}
    given = resources_of(source.tokenizer, target, piece_vectors=bare)
    with caplog.at_level(logging.WARNING):
        found = fit_map(source, target, UnibridgeInit(semantic=False), given, 0)
    assert not unnamed(caplog.text, "init_method=unibridge")
    text = torch.tensor([data is not None for data in canonical_bytes(target)])
    fallback = int(((found.provenance == Provenance.fallback) & text).sum())
    assert found.notes["unibridge"]["pieces_without_vector"] == fallback > 50


def test_options():
    assert UnibridgeInit().needs() == {"piece_vectors", "source_piece_vectors"}
    assert UnibridgeInit(semantic=False).needs() == {"piece_vectors"}
    assert set(faults_of(UnibridgeInit, temperature=0, nucleus=1.5)) == {
        "temperature",
        "nucleus",
    }
