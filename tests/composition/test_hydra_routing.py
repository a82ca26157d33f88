"""Texts find their tables by tag, language or script."""

import pytest

from franken.composition.hydra import Segment, TableRouter
from franken.errors import CompatibilityError, DataError
from tests.faults import raises

ROUTER = TableRouter(
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


def test_letters_that_no_table_claims_need_a_default() -> None:
    text = "2 doctors გამარჯობა end"
    claims = {"en": ("Latin",), "ru": ("Cyrillic",)}
    with_default = TableRouter(("en", "ru"), scripts=claims, default="ru")
    assert [s.table for s in with_default.segments(text)] == ["en", "ru", "en"]
    strict = TableRouter(("en", "ru"), scripts=claims)
    assert [s.text for s in strict.segments("2 doctors : врач")] == ["2 doctors : ", "врач"]
    for mixed, unclaimed in (
        (text, "გამარჯობა end"), ("12 გა hello", "გა hello"), ("გამარჯობა",) * 2, ("12 !",) * 2
    ):  # fmt: skip
        with raises(
            CompatibilityError, repr(unclaimed), "composition.scripts", "composition.default"
        ):
            strict.segments(mixed)


def test_two_tables_never_claim_one_text() -> None:
    with raises(CompatibilityError, "'ru'", "'en'"):
        TableRouter(("en", "ru"), languages={"ru": "en"})
    with raises(CompatibilityError, "'Latin'", "'en'", "'ru'"):
        TableRouter(("en", "ru"), scripts={"en": ("Latin",), "ru": ("Cyrillic", "Latin")})
    assert TableRouter(("en", "ru"), languages={"ru": "ru"}).by_tag("ru") == "ru"


def test_bad_routes_name_what_there_is() -> None:
    with raises(CompatibilityError, "'tt'", "en, es, ka, ru"):
        ROUTER.segments("<<tt>>x")
    with raises(DataError, "segment 2 of 2", "'ru'"):
        ROUTER.segments("<<en>>the<<ru>>")
    with raises(CompatibilityError, "'tt'", "tables: en"):
        TableRouter(("en",), languages={"tt": "tt"})
    with raises(CompatibilityError, "'привет'", "composition.scripts", "composition.default"):
        TableRouter(("en",), scripts={"en": ("Latin",)}).by_script("привет")
    with raises(CompatibilityError, "'es'", "en, ru"):
        TableRouter(("en", "ru")).by_language("es")
    assert TableRouter(("en", "ru"), default="ru").by_language("es") == "ru"
