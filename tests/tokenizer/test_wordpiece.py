"""WordPiece: its pieces as bytes, and what is refused of it."""

import logging
from collections import Counter
from dataclasses import replace

import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.tokenizer import wordpiece_growth
from franken.tokenizer.families import family_of
from franken.tokenizer.learn import learn_pieces
from franken.tokenizer.pieces import (
    canonical_bytes,
    encode_piece,
    special_roles,
    vocabulary_overlap,
)
from franken.tokenizer.pipeline import ReadOnlyKind, pipeline_of
from franken.tokenizer.report import LOSSY_SHARE
from franken.tokenizer.trim import trim_vocabulary
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.extension import ExtensionVocab
from franken.vocab.from_pretrained import FromPretrainedVocab
from franken.vocab.parity_bpe import ParityBpeVocab
from franken.vocab.prune_extend import PruneExtendVocab
from franken.vocab.scratch import ScratchVocab
from tests.faults import raises
from tests.init_method.texts import ENGLISH, SWAHILI
from tests.init_method.tiny import source_tokenizer
from tests.vocab.wordpiece import wordpiece_tokenizer

BASE = source_tokenizer(TokenizerKind.sentencepiece_bpe)
TEXTS = VocabTexts(source=lambda: ENGLISH, targets={"sw": lambda: SWAHILI[:5]})


@pytest.fixture(scope="module")
def bert():
    return wordpiece_tokenizer()


@pytest.fixture(scope="module")
def uncased():
    return wordpiece_tokenizer(lowercase=True)


def test_a_piece_begins_a_word_unless_it_is_spelled_as_inside_one(bert):
    assert family_of(bert) is ReadOnlyKind.wordpiece
    table, vocabulary = canonical_bytes(bert), bert.get_vocab()
    inner = [piece for piece in vocabulary if piece.startswith("##")]
    assert len(inner) > 30
    for piece, index in vocabulary.items():
        if index in bert.all_special_ids:
            assert table[index] is None
        elif piece.startswith("##"):
            assert table[index] == piece[2:].encode()
        else:
            assert table[index] == f" {piece}".encode()


def test_both_forms_of_the_same_letters_meet_their_own_source_piece(bert):
    overlap, source = vocabulary_overlap(BASE, bert), canonical_bytes(BASE)
    table = canonical_bytes(bert)
    shared = {table[row] for row in overlap if table[row] is not None}
    assert {b"e", b" house"} <= shared
    assert all(
        source[partner] == table[row] for row, partner in overlap.items() if table[row] is not None
    )
    assert b" e" not in shared or b" e" in source
    assert special_roles(bert).keys() == {"pad", "unk", "cls", "sep", "mask"}


def test_pieces_are_encoded_as_in_running_text(bert):
    house = bert.get_vocab()["house"]
    assert encode_piece(bert, b" house") == [house]
    assert encode_piece(bert, b"[CLS]")[0] != bert.cls_token_id
    assert encode_piece(bert, b"\xff") == [bert.unk_token_id]


def test_a_finished_tokenizer_is_taken_with_roles_for_generation(bert, tmp_path, caplog):
    bert.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        result = build_vocabulary(BASE, FromPretrainedVocab(path=str(tmp_path)), TEXTS, 0)
    made = result.tokenizer
    assert made.get_vocab() == bert.get_vocab()
    assert (made.bos_token, made.eos_token) == ("[CLS]", "[SEP]")
    assert made("nyumba kubwa")["input_ids"] == bert("nyumba kubwa")["input_ids"]
    assert result.report["kind"] == "wordpiece"
    assert not [p for p in result.report["unreachable"]["examples"] if p.startswith("##")]


def test_a_tokenizer_that_loses_case_is_warned_of(uncased, tmp_path, caplog):
    uncased.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        result = build_vocabulary(BASE, FromPretrainedVocab(path=str(tmp_path)), TEXTS, 0)
    figures = result.report["languages"]["sw"]
    failed = figures["round_trip_failures"]["count"]
    assert LOSSY_SHARE * figures["lines"] < failed < figures["lines"]
    said = f"{failed} of {figures['lines']} lines of sw do not come back"
    assert said in caplog.text
    assert "Nyumba kubwa" in caplog.text


def test_a_faithful_tokenizer_is_no_reason_to_warn(tmp_path, caplog):
    BASE.save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING):
        build_vocabulary(BASE, FromPretrainedVocab(path=str(tmp_path)), TEXTS, 0)
    assert "come back" not in caplog.text


def test_its_pieces_are_not_chosen_by_parity(bert):
    with raises(CompatibilityError, "vocab=parity_bpe", "wordpiece", "vocab=extension"):
        build_vocabulary(bert, ParityBpeVocab(added=20), TEXTS, 0)


LINES = VocabTexts(source=lambda: ENGLISH, targets={"sw": lambda: SWAHILI})


@pytest.fixture(scope="module")
def english(bert):
    """Pieces of English alone, and none for letters that English lacks."""
    lines = VocabTexts(source=lambda: ENGLISH, targets={"en": lambda: ENGLISH})
    return build_vocabulary(bert, ScratchVocab(size=300), lines, 0).tokenizer


def test_it_grows_and_source_text_stays_cut_as_it_was(english):
    texts = VocabTexts(
        source=lambda: ENGLISH, targets={"sw": lambda: [*SWAHILI, *SWAHILI, "ñandú ñandú"]}
    )
    grown, again = (build_vocabulary(english, ExtensionVocab(added=60), texts, 0) for _ in "ab")
    made, before = grown.tokenizer, english.get_vocab()
    assert made.get_vocab() == again.tokenizer.get_vocab()
    assert {piece: made.get_vocab()[piece] for piece in before} == before
    assert made(ENGLISH).input_ids == english(ENGLISH).input_ids
    new = set(made.get_vocab()) - set(before)
    assert len(new) == grown.report["parts"]["new"] + grown.report["parts"]["alphabet"]
    assert {"ñ", "##ú", "ñandú"} <= new  # letters in the spelling that their places need
    tokens = [token for line in [*SWAHILI, "ñandú"] for token in made.tokenize(line)]
    assert "[UNK]" in english.tokenize("ñandú")
    assert "[UNK]" not in tokens
    assert len(tokens) < 0.5 * sum(len(line.replace(" ", "")) for line in SWAHILI)
    longer = {piece for piece in new if len(piece.removeprefix("##")) > 1}
    assert len(longer) > 15
    assert longer <= set(tokens)  # none that a longer one has made useless


def test_pieces_give_way_to_new_ones_and_english_stays_cut_as_it_was(bert):
    """The base's pieces of Swahili go, where only English and Turkish are spoken."""
    turkish = ["bugün yaşlı doktor okulda kitabı okumuyor"] * 8
    texts = VocabTexts(source=lambda: ENGLISH, targets={"tr": lambda: turkish})
    made = build_vocabulary(bert, PruneExtendVocab(added=30), texts, 0)
    after, before = made.tokenizer.get_vocab(), bert.get_vocab()
    assert len(after) == len(before)
    for token in bert.all_special_tokens:
        assert after[token] == before[token]
    for line in ENGLISH:
        assert made.tokenizer.tokenize(line) == bert.tokenize(line)
    gone = set(before) - set(after)
    used = {piece for line in [*ENGLISH, *turkish] for piece in bert.tokenize(line)}
    assert gone
    assert not gone & used
    assert made.report["parts"]["pruned"] == len(gone)
    tokens = made.tokenizer.tokenize(turkish[0])
    assert "[UNK]" in bert.tokenize(turkish[0])
    assert "[UNK]" not in tokens


@pytest.mark.parametrize("size", [None, 64])
def test_it_is_trimmed_and_no_word_becomes_unknown(bert, size):
    if size is None:
        trimmed = trim_vocabulary(bert, ENGLISH)
        for line in ENGLISH:
            ids = trimmed.tokenizer(line).input_ids
            assert [trimmed.source_ids[index] for index in ids] == bert(line).input_ids
    else:
        trimmed = trim_vocabulary(bert, ENGLISH, size=size)
        assert len(trimmed.tokenizer) == size
        cut = [token for line in ENGLISH for token in trimmed.tokenizer.tokenize(line)]
        assert "[UNK]" not in cut
        assert len(cut) > sum(len(bert.tokenize(line)) for line in ENGLISH)
    assert len(trimmed.tokenizer) < len(bert)


def test_a_piece_is_felt_where_it_is_longer_than_what_stands_there(english):
    pipeline = pipeline_of(english)
    pieces = {piece: at for at, piece in enumerate(["[UNK]", "a", "##b", "##c", "ab", "##cd"])}
    spelling = wordpiece_growth._Spelling(replace(pipeline, pieces=pieces))
    reader = wordpiece_growth._Reader(spelling, ["##d"])
    source = Counter({"abcdb": 3, "abb": 1})  # ab ##cd ##b, ab ##b
    begin = spelling.name("ab").removesuffix("ab")
    wanted = {f"{begin}abc", f"{begin}abcd", f"{begin}abcdb", "cdb"}
    assert wordpiece_growth.felt(source, reader, 1) == wanted
    assert wordpiece_growth.felt(source, reader, 0) == wanted | {f"{begin}abb"}


def test_a_new_one_is_made_equally_each_time_and_keeps_control_tokens(bert):
    first, again = (
        build_vocabulary(bert, ScratchVocab(size=300), LINES, 0).tokenizer for _ in range(2)
    )
    assert first.get_vocab() == again.get_vocab()
    assert 150 < len(first) <= 300
    for token in bert.all_special_tokens:
        assert first.get_vocab()[token] == bert.get_vocab()[token]
    for line in [*ENGLISH, *SWAHILI]:
        assert first.unk_token_id not in first(line, add_special_tokens=False).input_ids


def test_pieces_are_those_of_byte_pair_merges_written_out():
    """First letters and inner ones are apart: ab is in 6 words, and inside 4 others."""
    pipeline = pipeline_of(wordpiece_tokenizer())
    learned = learn_pieces(pipeline, {"xx": lambda: ["ab ab ab cab dab"] * 2}, 14)
    assert learned.alphabet == ["##b", "a", "##a", "c", "d"]  # 10, 6, 4, 2, 2
    assert learned.pieces == ["ab", "##ab", "cab", "dab"]
