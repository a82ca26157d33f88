"""Which sentences a loss on pairs reads."""

from collections.abc import Callable

import pytest

from franken.config.data import MicroworldData, RomaniseConfig
from franken.data import open_data, romanised
from franken.data.sentence_pairs import alone, translations
from franken.data.sentence_pairs import romanised as in_latin
from franken.errors import DataError
from tests.faults import raises

WORLD = MicroworldData(languages=["id", "ru"], sentences=6, parallel=5)


def engine(code: str | None) -> Callable[[str], str]:
    return lambda text: f"{code}:{len(text)}"


def test_translations_and_sentences_are_the_first_ones_of_each_language() -> None:
    source = open_data(WORLD)
    found = translations(WORLD, ["id", "ru"], 3)
    wanted = [
        (pair.source, pair.target, number)
        for number, lang in enumerate(("id", "ru"))
        for pair in list(source.pairs(lang))[:3]
    ]
    assert [tuple(one) for one in found] == wanted
    texts = list(source.texts("monolingual", "ru"))[:2]
    assert [tuple(one) for one in alone(WORLD, ["ru"], 2)] == [(text, text, 0) for text in texts]


@pytest.mark.parametrize("form", ["latin", "both"])
def test_a_sentence_and_its_latin_form_whatever_the_text_is(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(romanised.Romanised.__init__, "__defaults__", (engine,))
    settings = RomaniseConfig(languages=["ru"], codes={"ru": "rus"})
    settings.form = type(settings.form)(form)
    data = MicroworldData(languages=["id", "ru"], sentences=6, romanise=settings)
    plain = list(open_data(WORLD).texts("monolingual", "ru"))
    found = in_latin(data, ["ru"], 4)
    assert [(one.first, one.second) for one in found] == [
        (text, f"rus:{len(text)}") for text in plain[:4]
    ]
    with raises(DataError, "pair_loss", "id"):
        in_latin(data, ["id"], 4)  # there is no other form of it
