"""Text in Latin letters: which text is changed, and which is not."""

import dataclasses

import pytest

from franken.config.data import MicroworldData, Mixture, RomanForm, RomaniseConfig
from franken.data import open_data
from franken.data.romanised import Romanised, romaniser


def spelled(code):
    """Every letter beyond ASCII as its number: another text, and no two alike."""
    return lambda text: "".join(c if c.isascii() else f"[{ord(c):x}{code or ''}]" for c in text)


def source(**romanise):
    config = MicroworldData(
        languages=["ka", "id"], sentences=12, documents=4, parallel=6, instructions=4, evaluation=4,
        mixtures={"all": Mixture(shares={"monolingual": 1.0})},
    )  # fmt: skip
    plain = open_data(config)
    return plain, Romanised(plain, RomaniseConfig(languages=["ka"], **romanise), spelled)


def test_text_of_the_named_language_alone_is_changed_record_by_record():
    plain, roman = source(codes={"ka": "kat"})
    for role in ("monolingual", "documents"):
        native = list(plain.texts(role, "ka"))
        assert list(roman.texts(role, "ka")) == [spelled("kat")(text) for text in native]
        assert list(roman.texts(role, "id")) == list(plain.texts(role, "id"))
    assert all(text.isascii() for text in roman.texts("documents", "ka", "valid"))


def test_pairs_keep_source_and_links_and_words_of_the_lexicon_are_romanised():
    plain, roman = source()
    for before, after in zip(plain.pairs("ka"), roman.pairs("ka"), strict=True):
        assert after == (before.source, spelled(None)(before.target), before.alignment)
    assert [(a, spelled(None)(b)) for a, b in plain.lexicon("ka")] == roman.lexicon("ka")


def test_both_forms_stand_below_each_other_in_training_text_but_not_in_tasks():
    plain, roman = source(form=RomanForm.both)
    native = next(plain.texts("monolingual", "ka"))
    assert next(roman.texts("monolingual", "ka")) == f"{native}\n{spelled(None)(native)}"
    rows = roman.task_rows("topic_classification", "ka")
    assert all(row["text"].isascii() for row in rows)


@pytest.mark.parametrize("task", ["topic_classification", "reading_comprehension", "translation"])
def test_evaluation_sets_change_in_the_named_language_and_keep_their_labels(task):
    plain, roman = source()
    before, after = plain.task_rows(task, "ka"), roman.task_rows(task, "ka")
    for one, other in zip(before, after, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, str):
                assert other[key] == spelled(None)(value)
    assert roman.task_rows(task, "id") == plain.task_rows(task, "id")


def test_other_languages_and_the_base_keep_their_keys():
    plain, roman = source()
    assert roman.fingerprint({"monolingual"}, ["en", "id"]) == plain.fingerprint(
        {"monolingual"}, ["en", "id"]
    )
    assert roman.fingerprint({"monolingual"}, ["ka"]) != plain.fingerprint({"monolingual"}, ["ka"])
    appended = source(form=RomanForm.both)[1]
    assert appended.fingerprint() != roman.fingerprint() != plain.fingerprint()


def test_a_language_that_the_data_lack_is_a_fault():
    config = MicroworldData(languages=["id"], romanise=RomaniseConfig(languages=["ka"]))
    assert [key for key, _ in config.faults()] == ["romanise.languages"]
    assert not list(dataclasses.replace(config, languages=["ka"]).faults())


def test_uroman_writes_tamil_in_latin_letters():
    pytest.importorskip("uroman", reason="franken[romanise] is not installed")
    assert romaniser("tam")("தமிழ் 12") == "tamil 12"
