"""The lexicon initialiser: which pieces an entry reaches, and with which weights."""

import logging

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import InitResources, Provenance, fit_map, initialise
from franken.init_method.lexicon import LexiconInit
from franken.token_map.dictionary import Dictionary
from franken.token_map.options import Fallback
from franken.tokenizer.families import train_tokenizer
from franken.tokenizer.pieces import encode_piece
from tests.bounds import sum_error
from tests.faults import raises, unnamed
from tests.init_method.tiny import ENGLISH, LEXICON, RESOURCES, SWAHILI, row_of, written

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def target():
    tokenizer = train_tokenizer(KIND, [*ENGLISH, *SWAHILI], 480)
    vocabulary = tokenizer.get_vocab()
    wanted = ["▁na", "na", "▁nyumbani", "▁shule", "Nyumba", "▁mkate", "▁air"]
    tokenizer.add_tokens([piece for piece in wanted if piece not in vocabulary])
    return tokenizer


ROUNDING = 2 * sum_error(16, 4.0)
"""Of means over fewer than 16 pieces in all, in float32 on both sides; no number is above 4."""


def mean_of(source, *texts: str) -> torch.Tensor:
    """Mean over texts of the mean over their subtokens."""
    means = [source.input[encode_piece(source.tokenizer, text.encode())].mean(0) for text in texts]
    return torch.stack(means).mean(0)


def fit(source, target, lexicons=LEXICON, **options):
    table, token_map = initialise(
        source, target, LexiconInit(**options), InitResources(lexicons=lexicons), 0
    )
    return table, token_map


def test_a_word_is_the_mean_of_its_translations(source, target):
    table, token_map = fit(source, target)
    row = row_of(target, " nyumba")
    assert token_map.provenance[row] == Provenance.computed
    assert torch.allclose(table.input[row], mean_of(source, " house", " home"), atol=ROUNDING)
    assert torch.allclose(
        table.input[row_of(target, " maji")], mean_of(source, " water"), atol=ROUNDING
    )


def test_a_language_without_lexicon_is_named_and_counted(source, target, caplog):
    resources = InitResources(languages=["sw", "tt", "am"], lexicons={**LEXICON, "am": []})
    with caplog.at_level(logging.WARNING):
        token_map = fit_map(source, target, LexiconInit(), resources, 0)
    assert not unnamed(caplog.text, "tt, am")
    assert token_map.notes["lexicon"]["entries"] == {"sw": len(LEXICON["sw"]), "tt": 0, "am": 0}


def test_languages_that_all_have_a_lexicon_are_no_reason_to_warn(source, target, caplog):
    with caplog.at_level(logging.WARNING):
        fit_map(source, target, LexiconInit(), RESOURCES, 0)
    assert "no lexicon for" not in caplog.text


def test_a_translation_of_several_subtokens_weighs_as_much_as_one_of_a_single_subtoken(
    source, target
):
    lexicons = {"sw": [("house", "nyumba"), ("dwelling place", "nyumba")]}
    table, _ = fit(source, target, lexicons)
    expected = mean_of(source, " house", " dwelling place")
    assert torch.allclose(table.input[row_of(target, " nyumba")], expected, atol=ROUNDING)


def test_a_piece_without_its_space_takes_the_spelling_that_the_source_breaks_least(source, target):
    """The source has ``▁house`` as one piece, but ``house`` only in fragments."""
    assert len(encode_piece(source.tokenizer, b" house")) == 1
    assert len(encode_piece(source.tokenizer, b"house")) > 1
    table, _ = fit(source, target, {"sw": [("house", "nyumba")]})
    row = row_of(target, "nyumba")
    assert torch.allclose(table.input[row], mean_of(source, " house"), atol=ROUNDING)


def test_a_capital_piece_takes_the_capital_translation(source, target):
    assert len(encode_piece(source.tokenizer, b"House")) == 1
    table, token_map = fit(source, target, {"sw": [("house", "nyumba")]})
    row = row_of(target, "Nyumba")
    assert torch.allclose(table.input[row], mean_of(source, "House"), atol=ROUNDING)
    assert token_map.notes["lexicon"]["rows_by_rule"]["recased"] >= 1


def test_short_pieces_inside_words_are_no_words(source, target):
    lexicons = {"sw": [("and", "na"), ("water", "maji")]}
    inner = row_of(target, "na")
    _, strict = fit(source, target, lexicons)
    _, loose = fit(source, target, lexicons, internal_min_chars=1)
    assert strict.provenance[inner] == Provenance.fallback
    assert loose.provenance[inner] == Provenance.computed
    assert strict.provenance[row_of(target, " na")] == Provenance.computed


def test_stems_and_beginnings_are_options(source, target):
    lexicons = {"sw": [("house", "nyumba"), ("schools", "shuleni"), ("school", "shulezetu")]}
    inflected, stem = row_of(target, " nyumbani"), row_of(target, " shule")
    _, plain = fit(source, target, lexicons)
    table, token_map = fit(source, target, lexicons, stem_min_chars=4, prefix_min_chars=4)
    assert plain.provenance[[inflected, stem]].tolist() == [Provenance.fallback] * 2
    assert torch.allclose(table.input[inflected], mean_of(source, " house"), atol=ROUNDING)
    shares = torch.tensor([5 / 7, 5 / 9])
    means = torch.stack([mean_of(source, " schools"), mean_of(source, " school")])
    expected = (shares[:, None] * means).sum(0) / shares.sum()
    assert torch.allclose(table.input[stem], expected, atol=ROUNDING)
    assert {"stem", "prefix"} <= set(token_map.notes["lexicon"]["rows_by_rule"])


def test_false_friends_are_copies_unless_the_lexicon_comes_first(source, target):
    """Indonesian ``air`` is water."""
    lexicons = {"id": [("water", "air")]}
    row, old = row_of(target, " air"), row_of(source.tokenizer, " air")
    table, token_map = fit(source, target, lexicons)
    assert torch.equal(table.input[row], source.input[old])
    assert token_map.notes["lexicon"]["overlap_in_lexicon"] == 1
    table, token_map = fit(source, target, lexicons, lexicon_first=True)
    assert token_map.provenance[row] == Provenance.computed
    assert torch.allclose(table.input[row], mean_of(source, " water"), atol=ROUNDING)


def test_a_guess_does_not_outdo_a_copy(source, target):
    lexicons = {"sw": [("bread", "wat"), ("red", "waters")]}
    options = {"lexicon_first": True, "stem_min_chars": 3, "prefix_min_chars": 3}
    _, token_map = fit(source, target, lexicons, **options)
    assert token_map.provenance[row_of(target, " water")] == Provenance.copied


def test_an_entry_that_is_its_own_translation_stays_a_copy(source, target):
    _, token_map = fit(source, target, {"id": [("air", "air")]}, lexicon_first=True)
    assert token_map.provenance[row_of(target, " air")] == Provenance.copied


@pytest.mark.parametrize("rule", list(Fallback))
def test_the_fallback_takes_what_the_lexicon_does_not_know(source, target, rule):
    table, token_map = fit(source, target, fallback=rule)
    row = row_of(target, " mkate")
    assert token_map.provenance[row] == Provenance.fallback
    assert bool(token_map.row(row)) is (rule is Fallback.subtoken_mean)
    text = written(source.tokenizer)
    mean = source.input[: len(text)][text].mean(0)
    distance = (table.input[row] - mean).norm() / mean.norm()
    near = {Fallback.mean: 1e-6, Fallback.multivariate: 0.05}
    assert distance < near[rule] if rule in near else distance > 0.1


def test_no_lexicon_at_all_is_an_error_that_says_what_to_do(source, target):
    for lexicons in ({}, {"sw": []}, {"sw": [("", "nyumba"), ("house", " ")]}):
        with raises(DataError, "init_method=lexicon", "lexicon"):
            fit_map(source, target, LexiconInit(), InitResources(lexicons=lexicons), 0)


def test_a_lexicon_that_meets_no_piece_is_a_counted_fallback_with_a_warning(source, target, caplog):
    with caplog.at_level(logging.WARNING):
        _, token_map = fit(source, target, {"ka": [("house", "სახლი")]})
    assert "none of 1 entries" in caplog.text
    assert token_map.counts()["computed"] == 0
    assert token_map.notes["lexicon"]["rows_by_rule"] == {}


def test_the_order_of_entries_and_languages_does_not_matter(source, target):
    _, first = fit(source, target)
    turned = {lang: list(reversed(pairs)) for lang, pairs in reversed(LEXICON.items())}
    _, second = fit(source, target, turned)
    assert torch.equal(first.indices, second.indices)
    assert torch.equal(first.weights, second.weights)


def test_the_report_says_how_many_rows_each_rule_made(source, target):
    table, token_map = initialise(source, target, LexiconInit(), RESOURCES, 0)
    notes = table.provenance["lexicon"]
    assert notes["entries"] == {"sw": 4, "am": 2}
    assert sum(notes["rows_by_rule"].values()) == token_map.counts()["computed"]


def test_words_are_compared_in_composed_form():
    dictionary = Dictionary({"vi": [("coffee", "cà phe\u0302")], "am": [("house", " ቤት ")]})
    assert dictionary.exact("cà phê") == ["coffee"]
    assert dictionary.exact("ቤት") == ["house"]


def test_a_dictionary_finds_stems_longest_first_and_beginnings_of_words():
    dictionary = Dictionary(
        {"tr": [("house", "ev"), ("houses", "evler"), ("home", "evde"), ("yes", "evet")]}
    )
    assert dictionary.stem("evlerin", 2) == ["houses"]
    assert dictionary.stem("evin", 2) == ["house"]
    assert dictionary.stem("ev", 2) == []
    assert dictionary.stem("evin", 3) == []
    assert sorted(dictionary.beginnings("eve")) == [("yes", 3 / 4)]
    assert dictionary.beginnings("evlerin") == []
