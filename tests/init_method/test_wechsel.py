"""WECHSEL: softmax over the nearest source tokens in aligned word vectors."""

import json
import logging

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.wechsel import TokenVectors, WechselInit
from franken.token_map.options import Fallback, SpaceAlignment
from franken.token_map.token_vectors import (
    decoded_vectors,
    languages_in_one_space,
    target_spaces,
)
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from franken.word_vectors import VectorSpace
from tests.bounds import one_error
from tests.faults import faults_of, raises, unnamed
from tests.init_method.spaces import ONE_TO_ONE, cosines, dense, resources_of, rotation
from tests.init_method.tiny import edited, row_of, text_ids, written

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def fitted(source, target, resources):
    return fit_map(source, target, WechselInit(), resources, 0)


def test_each_row_has_ten_weights_that_sum_to_one(fitted):
    computed = fitted.provenance == Provenance.computed
    assert int(computed.sum()) > 100
    assert set(fitted.sizes()[computed].tolist()) == {10}
    sums = dense(fitted)[computed].sum(1)
    assert float((sums - 1).abs().max()) <= one_error(10)
    assert bool((fitted.weights > 0).all())


@pytest.mark.parametrize("options", [{}, {"neighbours": 3, "temperature": 0.5}])
def test_weights_are_those_of_the_slow_obvious_way(source, target, resources, options):
    config = WechselInit(**options)
    found = fit_map(source, target, config, resources, 0)
    spaces, _ = languages_in_one_space(resources, config.align, "wechsel")
    new, known = decoded_vectors(canonical_bytes(target), target_spaces(spaces, resources))
    old, usable = decoded_vectors(canonical_bytes(source.tokenizer), [spaces["en"]])
    candidates = (usable & written(source.tokenizer)).nonzero().flatten()
    for row in known.nonzero().flatten().tolist()[::7]:
        if found.provenance[row] != Provenance.computed:
            continue
        similarity = cosines(new[[row]], old[candidates])[0]
        best = np.argsort(-similarity)[: config.neighbours]
        weights = np.exp(similarity[best] / config.temperature)
        expected = weights / weights.sum()
        got = [weight for _, weight in found.row(row)]
        assert np.allclose(got, expected, atol=1e-4)
        # equal texts ("▁house", "house") have equal vectors, so ids are compared by similarity
        place = {int(index): number for number, index in enumerate(candidates)}
        chosen = sorted(similarity[place[index]] for index, _ in found.row(row))
        assert np.allclose(chosen, sorted(similarity[best]), atol=1e-5)


def test_the_lexicon_brings_translations_together(source, target, resources):
    aligned = fit_map(source, target, WechselInit(), resources, 0)
    apart = fit_map(source, target, WechselInit(align=SpaceAlignment.none), resources, 0)
    houses = {row_of(source.tokenizer, text) for text in (" house", "House")}
    for word in (" nyumba", "ቤት"):
        if word.encode() not in canonical_bytes(target):
            continue
        row = row_of(target, word)
        nearest = {index for index, _ in aligned.row(row)[:2]}
        assert nearest & houses, word
        assert not {index for index, _ in apart.row(row)[:2]} & houses


def test_turning_both_spaces_changes_nothing(source, target, resources):
    english = resources.word_vectors["en"]
    pairs = [(word, word) for word in english.words]
    assert len(pairs) > english.dim  # fewer pairs leave part of the rotation open

    def fit(one, other):
        spaces = {"en": english.transformed(one), "xx": english.transformed(other)}
        given = resources_of(
            source.tokenizer, target, languages=["xx"], word_vectors=spaces, lexicons={"xx": pairs}
        )
        found = fit_map(source, target, WechselInit(), given, 0)
        # "▁house" and "house" have one vector: which of equals is tenth is left to rounding
        return dense(found).sort(dim=1).values

    same = torch.eye(english.dim)
    first = fit(same, rotation("side"))
    again = fit(rotation("both"), rotation("side") @ rotation("both"))
    assert torch.allclose(first, again, atol=1e-4)


def test_a_token_is_nearest_to_itself_where_tokenizers_and_spaces_are_one(source, resources):
    alone = resources_of(
        source.tokenizer,
        source.tokenizer,
        languages=["xx"],
        word_vectors={"en": resources.word_vectors["en"], "xx": resources.word_vectors["en"]},
    )
    config = WechselInit(align=SpaceAlignment.none)
    found = fit_map(source, source.tokenizer, config, alone, 0)
    texts = [(data or b"").strip() for data in canonical_bytes(source.tokenizer)]
    rows = (found.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(rows) > 50
    for row in rows:
        first = found.row(row)[0]
        best = {index for index, weight in found.row(row) if weight > first[1] - 1e-4}
        assert row in best or any(texts[index] == texts[row] for index in best)


def test_rows_are_no_longer_than_the_longest_source_row(source, target, fitted, resources):
    table, _ = initialise(source, target, WechselInit(), resources, 0)
    longest = source.input[fitted.exemplars].norm(dim=1).max()
    computed = fitted.provenance == Provenance.computed
    assert bool((table.input[computed].norm(dim=1) <= longest * (1 + 1e-6)).all())


def test_overlap_is_copied_only_on_request(source, target, resources, fitted):
    overlap = vocabulary_overlap(source.tokenizer, target)
    text = [row for row in overlap if canonical_bytes(target)[row] is not None]
    assert fitted.counts()["copied"] == 0
    copied = fit_map(source, target, WechselInit(copy_overlap=True), resources, 0)
    assert copied.counts()["copied"] == len(text)
    for row in text:
        assert copied.row(row) == [(overlap[row], 1.0)]


def test_shared_pieces_that_are_not_copied_are_counted_aloud(source, target, resources, caplog):
    text = [row for row in vocabulary_overlap(source.tokenizer, target)
            if canonical_bytes(target)[row] is not None]  # fmt: skip
    for copy, count in ((True, 0), (False, len(text))):
        caplog.clear()
        token_map = fit_map(source, target, WechselInit(copy_overlap=copy), resources, 0)
        assert token_map.notes["shared_not_copied"] == count
        assert bool(unnamed(caplog.text, count, "copy_overlap")) is copy


def test_pieces_without_a_vector_are_counted_and_fall_back(source, target, resources, fitted):
    pieces = canonical_bytes(target)
    broken = [
        row
        for row, data in enumerate(pieces)
        if data is not None and "\ufffd" in data.decode(errors="replace")
    ]
    assert broken
    assert (fitted.provenance[broken] == Provenance.fallback).all()
    notes = fitted.notes["wechsel"]
    special = [row for row, data in enumerate(pieces) if data is None]
    fallback = int((fitted.provenance == Provenance.fallback).sum())
    assert notes["pieces_without_vector"] == fallback - int(
        (fitted.provenance[special] == Provenance.fallback).sum()
    )
    assert set(notes["alignment_pairs"]) == {"sw", "am"}
    assert fitted.fallback.kind is Fallback.normal


def test_words_that_hold_a_piece_give_it_a_vector_too(source, target, resources):
    config = WechselInit(token_vectors=TokenVectors.words)
    found = fit_map(source, target, config, resources, 0)
    computed = int((found.provenance == Provenance.computed).sum())
    assert computed > 50
    table, _ = initialise(source, target, config, resources, 0)
    assert bool(torch.isfinite(table.input).all())
    fewer = fit_map(
        source, target, WechselInit(token_vectors=TokenVectors.words, max_words=2), resources, 0
    )
    assert 0 < int((fewer.provenance == Provenance.computed).sum()) < computed


def test_the_numbering_of_the_target_does_not_matter(source, target, resources, fitted):
    ids = text_ids(target)
    turned = dict(zip(ids, reversed(ids), strict=True))
    other = fit_map(source, edited(target, turned), WechselInit(), resources, 0)
    order = [turned.get(row, row) for row in range(fitted.rows)]
    assert torch.equal(dense(other)[order], dense(fitted))
    assert torch.equal(other.provenance[order], fitted.provenance)


def test_nothing_usable_is_a_warning_and_a_counted_fallback(source, target, caplog):
    lonely = VectorSpace(["zzz", "yyy"], torch.eye(2))
    resources = resources_of(
        source.tokenizer, target, languages=["sw"], word_vectors={"en": lonely, "sw": lonely}
    )
    with caplog.at_level(logging.WARNING):
        found = fit_map(source, target, WechselInit(align=SpaceAlignment.none), resources, 0)
    assert "gave no row" in caplog.text
    assert found.counts()["computed"] == 0
    assert found.notes["wechsel"]["pieces_without_vector"] > 400
    json.dumps(found.notes)


def test_a_lexicon_without_a_known_word_is_an_error(source, target):
    for lexicons, names in (
        ({"sw": [("zzz", "yyy")], "am": ONE_TO_ONE["am"]}, ["sw", "word_vectors.min_count"]),
        ({"sw": ONE_TO_ONE["sw"]}, ["init_method=wechsel", "am", "lexicon"]),
    ):
        with raises(DataError, *names):
            fit_map(
                source, target, WechselInit(),
                resources_of(source.tokenizer, target, lexicons=lexicons), 0,
            )  # fmt: skip


def test_needs_follow_the_options():
    assert WechselInit().needs() == {"word_vectors", "lexicon"}
    assert WechselInit(align=SpaceAlignment.identical).needs() == {"word_vectors"}
    assert set(faults_of(WechselInit, neighbours=0, temperature=0)) == {
        "neighbours",
        "temperature",
    }
