"""Labelled texts: which token carries the label of a word, and the layouts of the hub."""

import pytest

from franken.data.labelled import Labelled, labelled
from franken.data.labelled_encoding import encode, first_tokens, word_spans
from franken.data.microworld.grammar import LANGUAGES
from franken.data.schemas import read_items
from franken.errors import DataError
from franken.parts.label_set import LabelledUnit
from tests.faults import raises
from tests.init_method.texts import ENGLISH
from tests.parts.encoders import KINDS, encoder_tokenizer


def test_a_label_stands_at_the_first_token_that_reaches_into_its_word():
    words = word_spans(["ab", "c", "def"])
    assert words == [(0, 2), (3, 4), (5, 8)]
    # control token, a|b, the blank alone, " c", " d" with the blank in front, ef, control token
    offsets = [(0, 0), (0, 1), (1, 2), (2, 3), (2, 4), (4, 6), (6, 8), (0, 0)]
    assert first_tokens(offsets, words) == [1, 4, 5]
    # two bytes of one letter are two tokens with one span; a cut text leaves a word without any
    assert first_tokens([(0, 0), (0, 1), (0, 1), (0, 0)], [(0, 1), (2, 3)]) == [1, None]


@pytest.mark.parametrize("family", sorted(KINDS))
def test_every_kind_of_tokenizer_gives_each_word_a_token_of_its_own(family):
    tokenizer = encoder_tokenizer(family)
    words = tuple(ENGLISH[0].split())
    found = encode(tokenizer, Labelled("1", words, ("O",) * len(words)), LabelledUnit.token, 60)
    assert found.words == list(range(len(words)))
    assert found.places == sorted(set(found.places))
    spelled = [tokenizer.decode([found.ids[place]]).strip(" #") for place in found.places]
    for piece, word in zip(spelled, words, strict=True):
        assert word.startswith(piece)


@pytest.mark.parametrize("column", ["ner_tags", "upos", "pos_tags", "tags"])
def test_layouts_of_the_hub_are_read(column):
    row = {"tokens": ["Ada", "sings"], column: ["B-PER", "O"], "langs": ["en", "en"]}
    (item,) = read_items("tagged", [row], lang="en", source_lang="en")
    assert labelled(item) == Labelled("1", ("Ada", "sings"), ("B-PER", "O"))


def test_words_and_tags_that_do_not_match_and_tags_without_names_are_refused():
    for row in (
        {"tokens": ["Ada"], "ner_tags": []}, {"tokens": ["a", "b"], "upos": ["X"]},
        {"tokens": ["Ada", "sings"], "ner_tags": [1, 0]}, {"tokens": ["Ada"], "tags": ["-1"]},
    ):  # fmt: skip
        with raises(DataError, "row 1"):
            read_items("tagged", [row], lang="en", source_lang="en")


def test_the_worlds_words_carry_the_same_parts_of_speech_in_every_language():
    from franken.config.data import MicroworldData
    from franken.data import open_data

    world = open_data(MicroworldData(languages=["tr"], evaluation=30))
    content = {"NOUN", "VERB", "ADJ", "ADV"}
    kinds = {}
    for lang in LANGUAGES:
        rows = world.task_rows("part_of_speech", lang)
        topics = world.task_rows("topic_classification", lang)
        assert [" ".join(row["tokens"]) for row in rows] == [row["text"] for row in topics]
        kinds[lang] = [set(row["upos"]) & content for row in rows]
    assert all(own == kinds["en"] for own in kinds.values())
