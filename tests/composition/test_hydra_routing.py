"""Texts find their tables by tag, language or script."""

import pytest

from franken.composition.hydra import Router, Segment
from franken.errors import CompatibilityError, DataError

ROUTER = Router(
    ("en", "ru", "ka"),
    languages={"es": "en"},
    scripts={"en": ("Latin",), "ru": ("Cyrillic",), "ka": ("Georgian",)},
    default="en",
)


def test_tags_cut_a_text() -> None:
    found = ROUTER.segments("<<en>>the doctor<<ru>> врач<<es>> el médico")
    assert found == [
        Segment("en", "the doctor"), Segment("ru", " врач"), Segment("en", " el médico"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "table"),
    [("hello", "en"), ("привет", "ru"), ("გამარჯობა", "ka"), ("123 !", "en"), ("ሰላም", "en"),
     ("a привет", "ru")],
)  # fmt: skip
def test_the_script_of_most_letters_decides(text: str, table: str) -> None:
    assert ROUTER.by_script(text) == table


def test_runs_of_one_script_keep_spaces_digits_and_punctuation() -> None:
    text = "2 doctors : врач лечит , ექიმი 3 . end"
    found = ROUTER.segments(text)
    assert "".join(segment.text for segment in found) == text
    assert [segment.table for segment in found] == ["en", "ru", "ka", "en"]
    assert found[1].text == "врач лечит , "


def test_bad_routes_name_what_there_is() -> None:
    with pytest.raises(CompatibilityError, match=r"tag 'tt' has no table.*en, es, ka, ru"):
        ROUTER.segments("<<tt>>x")
    with pytest.raises(DataError, match=r"segment 2 of 2 .table 'ru'. is empty"):
        ROUTER.segments("<<en>>the<<ru>>")
    with pytest.raises(CompatibilityError, match="no table 'tt'"):
        Router(("en",), languages={"tt": "tt"})
    with pytest.raises(CompatibilityError, match="no table claims the script"):
        Router(("en",), scripts={"en": ("Latin",)}).by_script("привет")
    with pytest.raises(CompatibilityError, match="tag 'es' has no table"):
        Router(("en", "ru")).by_language("es")
    assert Router(("en", "ru"), default="ru").by_language("es") == "ru"
