"""Words of sentences, and bitexts."""

import pytest

from franken.alignment.common.bitext import by_space, read_bitext
from franken.alignment.common.words import words_of
from franken.errors import DataError
from tests.faults import raises


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fifteen men, at 15:30.", "Fifteen men , at 15 : 30 ."),
        ("the 15th—really", "the 15 th — really"),
        ("нәрсә? үзе әйтте!", "нәрсә ? үзе әйтте !"),
        ("हूँ १५ प्रार्थना।", "हूँ १५ प्रार्थना ।"),
        ("நான் வீட்டிற்கு", "நான் வீட்டிற்கு"),
        ("cafe\u0301s", "cafe\u0301s"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("我爱北京hello", "我 爱 北 京 hello"),
        ("カタカナとひらがな", "カタカナ と ひ ら が な"),
        ("ที่นี่", "ที่ นี่"),
        ("👍🏽 ok", "👍 🏽 ok"),
        ("  \t\n", ""),
    ],
)
def test_words_are_letters_with_their_marks_numbers_and_single_signs(text, words):
    assert words_of(text) == words.split(" ") if words else words_of(text) == []


def test_no_character_is_lost():
    text = "Tôi_đã-ăn 3,5% «ბევრი» xôi\u0301 क्\u200dष!"
    assert "".join(words_of(text)) == "".join(text.split())


def test_a_bitext_knows_what_follows_a_space():
    text = read_bitext([('"house" (house), house', "nyumba, nyumba")])
    spaced = dict(zip(text.source.words, text.source.spaced.tolist(), strict=True))
    assert spaced == pytest.approx({'"': 0.5, "house": 1 / 3, "(": 1, ")": 0, ",": 0})
    assert text.source.sentence(0) == ['"', "house", '"', "(", "house", ")", ",", "house"]


def test_words_are_numbered_by_the_alphabet_whatever_the_order():
    pairs = [("b a", "y"), ("c", "x z")]
    one, two = read_bitext(pairs), read_bitext(pairs[::-1])
    assert one.source.words == two.source.words == ["a", "b", "c"]
    assert one.source.sentence(0) == two.source.sentence(1) == ["b", "a"]


def test_pairs_with_an_empty_side_leave_no_trace():
    text = read_bitext([("a", "x"), ("only", " "), ("", "lonely"), ("b", "y")])
    assert len(text) == 2
    assert text.source.words == ["a", "b"]
    assert text.target.words == ["x", "y"]


def test_text_that_was_cut_before_is_taken_as_it_is():
    assert read_bitext([("don't stop.", "a")], splitter=by_space).source.words == ["don't", "stop."]


def test_an_empty_bitext_is_an_error():
    with raises(DataError, "parallel"):
        read_bitext([("", "x")])
