"""LEIA: names beside entities, and which tokens have no loss."""

import re
from random import Random

import numpy as np
import pytest

from franken.config.data import MicroworldData, Mixture, NamesConfig, NameSide
from franken.data import open_data
from franken.data.marker_mask import MarkerMask
from franken.data.named_entities import name_entities, with_names
from franken.errors import CompatibilityError
from franken.steps.common.key_parts import split_of

NAMES = {("sungai",): "river", ("rumah", "sakit"): "hospital", ("rumah",): "house"}
MARKED = re.compile(r"<translate>.*?</translate>")


@pytest.mark.parametrize(
    ("side", "text"),
    [
        ("right", "Sungai<translate> river</translate> di rumah sakit<translate> hospital"
         "</translate>, rumahku."),
        ("left", "<translate> river</translate>Sungai di<translate> hospital</translate> rumah "
         "sakit, rumahku."),
        ("instead", "<translate> river</translate> di<translate> hospital</translate>, rumahku."),
    ],
)  # fmt: skip
def test_the_longest_entity_gets_its_name_and_a_part_of_a_word_is_none(side, text):
    config = NamesConfig(side=NameSide(side), probability=1.0)
    plain = "Sungai di rumah sakit, rumahku."
    assert name_entities(plain, NAMES, config, Random(0)) == text


def test_a_sign_of_devanagari_belongs_to_its_word():
    plain = "तारा तार"
    named = name_entities(plain, {("तार",): "wire"}, NamesConfig(probability=1.0), Random(0))
    assert named == "तारा तार<translate> wire</translate>"


def world(**options):
    names = None if options.pop("plain", False) else NamesConfig(**options)
    mixture = Mixture(shares={"monolingual": 1.0}, languages=["id", "en"], names=names)
    return MicroworldData(languages=["id"], sentences=200, mixtures={"text": mixture})


def read(config, lang="id", split="train"):
    return list(
        with_names(open_data(config), config.mixtures["text"]).texts("monolingual", lang, split)
    )


def test_half_of_the_entities_of_training_text_are_named_and_nothing_else_changes():
    plain, named = read(world(plain=True)), read(world(probability=0.5))
    assert named == read(world(probability=0.5))
    assert [MARKED.sub("", text) for text in named] == plain
    every = sum(len(MARKED.findall(text)) for text in read(world(probability=1.0)))
    found = sum(len(MARKED.findall(text)) for text in named)
    assert every > 200
    assert abs(found / every - 0.5) < 4 * 0.5 / every**0.5
    for unchanged in ({"lang": "en"}, {"split": "valid"}):
        assert read(world(probability=1.0), **unchanged) == read(world(plain=True), **unchanged)
    assert read(world(side=NameSide.none)) == plain


def test_the_key_of_a_split_is_what_it_was_without_names_and_tells_them_apart():
    before = split_of(world(plain=True), "text")
    assert "names" not in before["mixture"]
    keys = [
        split_of(world(**own), "text")
        for own in ({}, {"side": NameSide.left}, {"probability": 0.4}, {"learnt": False})
    ]
    assert all(one != other for at, one in enumerate([before, *keys]) for other in keys[at:])


# 8 opens, 9 closes
IDS = np.array([[1, 8, 2, 3, 9, 4, 8, 5], [2, 9, 3, 8, 4, 1, 5, 9]])
BEGINS = np.array([[1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0, 0]], dtype=bool)


@pytest.mark.parametrize(
    ("learnt", "silent"),
    [
        (True, [[0, 1, 0, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0, 0, 1]]),
        (False, [[0, 1, 1, 1, 1, 0, 1, 1], [0, 1, 0, 1, 1, 0, 0, 1]]),
    ],
)
def test_markers_have_no_loss_and_names_have_none_where_they_are_not_learnt(learnt, silent):
    vocabulary = {"<translate>": 8, "</translate>": 9}
    mask = MarkerMask(NamesConfig(learnt=learnt), vocabulary)
    assert mask(IDS, BEGINS).tolist() == np.array(silent, dtype=bool).tolist()


def test_a_vocabulary_without_the_markers_is_refused():
    with pytest.raises(CompatibilityError, match="vocab=named"):
        MarkerMask(NamesConfig(), {"<translate>": 8})
