"""Texts find their tables by tag, language or script."""

import pytest

from franken.composition.hydra import Segment, TableRouter
from franken.errors import CompatibilityError, DataError

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
    for mixed in (text, "12 გა hello", "გამარჯობა", "12 !"):
        with pytest.raises(CompatibilityError, match=r"no table claims the script of '(გა|12 !)"):
            strict.segments(mixed)


def test_two_tables_never_claim_one_text() -> None:
    with pytest.raises(CompatibilityError, match="'ru' goes to the table 'en', but a table is"):
        TableRouter(("en", "ru"), languages={"ru": "en"})
    with pytest.raises(CompatibilityError, match="script 'Latin' goes to the table 'en' already"):
        TableRouter(("en", "ru"), scripts={"en": ("Latin",), "ru": ("Cyrillic", "Latin")})
    assert TableRouter(("en", "ru"), languages={"ru": "ru"}).by_tag("ru") == "ru"


def test_bad_routes_name_what_there_is() -> None:
    with pytest.raises(CompatibilityError, match=r"tag 'tt' has no table.*en, es, ka, ru"):
        ROUTER.segments("<<tt>>x")
    with pytest.raises(DataError, match=r"segment 2 of 2 .table 'ru'. is empty"):
        ROUTER.segments("<<en>>the<<ru>>")
    with pytest.raises(CompatibilityError, match="no table 'tt'"):
        TableRouter(("en",), languages={"tt": "tt"})
    with pytest.raises(CompatibilityError, match="no table claims the script"):
        TableRouter(("en",), scripts={"en": ("Latin",)}).by_script("привет")
    with pytest.raises(CompatibilityError, match="tag 'es' has no table"):
        TableRouter(("en", "ru")).by_language("es")
    assert TableRouter(("en", "ru"), default="ru").by_language("es") == "ru"
