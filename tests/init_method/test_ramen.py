"""RAMEN: translation probabilities from links, or from aligned word vectors."""

import logging

import numpy as np
import pytest
import torch

from franken.alignment import WordTable
from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.ramen import Aligned, LinkCounts, RamenInit
from franken.token_map.options import SpaceAlignment
from franken.token_map.token_vectors import (
    RUNNING,
    Weighting,
    languages_in_one_space,
    pooled_vectors,
)
from franken.tokenizer.pieces import encode_piece
from tests.bounds import one_error
from tests.faults import raises, unnamed
from tests.init_method.spaces import cosines, dense, projected_on_simplex, resources_of
from tests.init_method.tiny import row_of, source_table

KIND = TokenizerKind.sentencepiece_bpe
MONOLINGUAL = RamenInit(parallel=False, align=SpaceAlignment.lexicon)


@pytest.fixture(scope="module")
def source():
    return source_table(KIND, tied=False)


def table_of(counts: dict[tuple[str, str], float], **changes) -> WordTable:
    """Counts of (source word, target word), links unless others are given."""
    words = [sorted({pair[side] for pair in counts}) for side in (0, 1)]
    pairs = np.array(
        [[words[0].index(left), words[1].index(right)] for left, right in counts], dtype=np.int32
    )
    return WordTable.of(words[0], words[1], pairs, np.array(list(counts.values())), **changes)


def fit(source, target, counts, config=None, **changes):
    tables = {"sw": table_of(counts, **changes)}
    resources = resources_of(source.tokenizer, target, alignments=tables, word_vectors={})
    return initialise(source, target, config or RamenInit(), resources, 0)


def pieces_of(tokenizer, text: str) -> list[int]:
    return encode_piece(tokenizer, text.encode())


def test_a_piece_aligned_to_one_source_piece_copies_it(source, target):
    table, token_map = fit(source, target, {("house", "nyumba"): 7.0})
    row, old = row_of(target, " nyumba"), row_of(source.tokenizer, " house")
    assert pieces_of(target, " nyumba") == [row]
    assert pieces_of(source.tokenizer, " house") == [old]
    assert token_map.row(row) == [(old, 1.0)]
    assert torch.equal(table.input[row], source.input[old])
    assert torch.equal(table.output[row], source.output[old])
    assert torch.equal(table.output_bias[row], source.output_bias[old])
    assert token_map.provenance[row] == Provenance.computed


def test_probabilities_are_shares_of_links_worked_by_hand(source, target):
    """nyumba: 6 links to house, 2 to the three-piece "dwelling"; p = 3/4 and 1/4 in thirds."""
    links = {("house", "nyumba"): 6.0, ("dwelling", "nyumba"): 2.0, ("water", "maji"): 1.0}
    _, token_map = fit(source, target, links)
    row = row_of(target, " nyumba")
    pieces = pieces_of(source.tokenizer, " dwelling")
    assert len(set(pieces)) > 1
    expected = dict.fromkeys(pieces, 0.0)
    for piece in pieces:
        expected[piece] += 0.25 / len(pieces)
    house = row_of(source.tokenizer, " house")
    expected[house] = expected.get(house, 0.0) + 0.75
    found = dict(token_map.row(row))
    assert found.keys() == expected.keys()
    for piece, weight in expected.items():
        assert found[piece] == pytest.approx(weight, abs=1e-6)


def test_all_pieces_of_a_word_share_in_its_links(source, target):
    word = "nyumbakitabu"
    pieces = pieces_of(target, f" {word}")
    assert len(pieces) > 1
    _, token_map = fit(source, target, {("house", word): 3.0})
    old = row_of(source.tokenizer, " house")
    for piece in set(pieces):
        assert token_map.row(piece) == [(old, 1.0)]


def test_words_are_cut_as_they_are_spaced_in_the_text(source, target):
    links = {("water", "maji"): 4.0}
    _, token_map = fit(source, target, links, target_spaced=np.array([0.0]))
    assert token_map.provenance[row_of(target, " maji")] == Provenance.fallback
    for piece in pieces_of(target, "maji"):
        assert token_map.provenance[piece] == Provenance.computed


def test_hard_links_or_expected_counts(source, target):
    links = {("house", "nyumba"): 1.0, ("water", "nyumba"): 3.0}
    row, house = row_of(target, " nyumba"), row_of(source.tokenizer, " house")
    changes = {"links": np.array([1.0, 0.0])}  # pairs are sorted: house, water
    _, hard = fit(source, target, links, **changes)
    _, soft = fit(source, target, links, RamenInit(counts=LinkCounts.expected), **changes)
    assert hard.row(row) == [(house, 1.0)]
    assert dict(soft.row(row))[house] == pytest.approx(0.25)


def test_rows_sum_to_one_and_bias_takes_the_same_weights(source, target):
    links = {
        ("house", "nyumba"): 2.0, ("home", "nyumba"): 1.0, ("water", "maji"): 5.0,
        ("the", "maji"): 1.0, ("book", "kitabu"): 2.0,
    }  # fmt: skip
    table, token_map = fit(source, target, links)
    computed = token_map.provenance == Provenance.computed
    matrix = dense(token_map)[computed]
    assert float((matrix.sum(1) - 1).abs().max()) <= one_error(int(token_map.sizes().max()))
    assert bool((matrix >= 0).all())
    expected = matrix @ source.output_bias.double()
    assert torch.allclose(table.output_bias[computed].double(), expected, atol=1e-5)
    notes = token_map.notes["ramen"]
    assert notes["rows"] == int(computed.sum())
    assert token_map.counts()["copied"] == 0


def test_links_of_several_languages_add_up(source, target):
    tables = {
        "sw": table_of({("house", "nyumba"): 3.0}), "xx": table_of({("water", "nyumba"): 1.0}),
    }  # fmt: skip
    resources = resources_of(source.tokenizer, target, alignments=tables)
    token_map = fit_map(source, target, RamenInit(), resources, 0)
    weights = [weight for _, weight in token_map.row(row_of(target, " nyumba"))]
    assert weights == pytest.approx([0.75, 0.25])


def test_copies_come_first_where_asked(source, target):
    links = {("water", "the"): 3.0}
    row = row_of(target, " the")
    _, plain = fit(source, target, links)
    _, copied = fit(source, target, links, RamenInit(copy_overlap=True))
    assert plain.row(row) == [(row_of(source.tokenizer, " water"), 1.0)]
    assert copied.provenance[row] == Provenance.copied


def test_monolingual_weights_are_the_dense_sparsemax_over_all_source_pieces(source, target):
    resources = resources_of(source.tokenizer, target)
    found = fit_map(source, target, MONOLINGUAL, resources, 0)
    spaces, _ = languages_in_one_space(resources, SpaceAlignment.lexicon, "ramen")
    how = {"weighting": Weighting.inverse_rank, "forms": RUNNING}
    new, _ = pooled_vectors(target, found.rows, [spaces["sw"], spaces["am"]], **how)
    old, usable = pooled_vectors(source.tokenizer, source.rows, [spaces["en"]], **how)
    rows = (found.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(rows) > 20
    for row in rows:
        expected = np.zeros(found.source_rows)
        scores = cosines(new[[row]], old[usable])[0]
        expected[usable.numpy()] = projected_on_simplex(scores)
        assert np.allclose(dense(found)[row].numpy(), expected, atol=2e-5)


def test_missing_resources_are_named(source, target):
    with raises(DataError, "init_method=ramen", "alignments"):
        fit_map(source, target, RamenInit(), resources_of(source.tokenizer, target), 0)
    nothing = resources_of(source.tokenizer, target, word_vectors={})
    with raises(DataError, "init_method=ramen", "word vectors"):
        fit_map(source, target, MONOLINGUAL, nothing, 0)


def test_links_that_reach_no_piece_are_a_warning(source, target, caplog):
    with caplog.at_level(logging.WARNING):
        _, token_map = fit(source, target, {("house", "nyumba"): 0.0})
    assert not unnamed(caplog.text, "init_method=ramen")
    assert token_map.counts()["computed"] == 0


def test_needs_follow_the_options():
    assert RamenInit().needs() == {"symmetric_alignment"}
    assert RamenInit(aligner=Aligned.chosen).needs() == {"alignment"}
    assert RamenInit(parallel=False).needs() == {"word_vectors"}
    assert MONOLINGUAL.needs() == {"word_vectors", "lexicon"}
