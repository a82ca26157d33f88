"""Heads that label together: weights by hand, logits as their sum, sentences of one meaning."""

import math
from dataclasses import replace

import pytest
import torch

from franken.config.data import MicroworldData
from franken.data import open_data
from franken.errors import CompatibilityError, ConfigError, DataError
from franken.parts.label_ensemble import HeadEnsemble, distance_weights, mean_distance, mean_states
from franken.parts.label_head import put_head
from franken.parts.label_set import LabelledUnit, LabelSet
from franken.steps.ensemble import EnsembleStep, SourceWeights, sentences_of
from tests.faults import raises
from tests.init_method.texts import ENGLISH
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.parts.tiny import some_ids

LABELS = LabelSet(LabelledUnit.token, ("NOUN", "VERB"))


def test_near_languages_count_more_and_equal_ones_equally():
    assert distance_weights({"en": 2.0, "tr": 2.0}) == {"en": 0.5, "tr": 0.5}
    found = distance_weights({"en": 0.5, "tr": 1.0})  # softmax of 2 and 1
    assert found["en"] == pytest.approx(math.e / (math.e + 1))
    assert sum(found.values()) == pytest.approx(1.0)


def test_logits_are_the_weighted_sum():
    tokenizer = encoder_tokenizer("bert")
    heads = [put_head(tiny_encoder("bert", tokenizer, seed=s), LABELS, seed=s) for s in (0, 1)]
    ids = some_ids(len(tokenizer))
    mask = torch.ones_like(ids)
    one, other = (head.logits(ids, mask) for head in heads)
    together = HeadEnsemble(tuple(heads), (0.25, 0.75)).logits(ids, mask)
    torch.testing.assert_close(together, 0.25 * one + 0.75 * other)
    # the second knows a label more: to the first it is as unlikely as the least likely one
    wider = put_head(tiny_encoder("bert", tokenizer), replace(LABELS, names=("ADP", "NOUN")))
    mixed = HeadEnsemble((heads[0], wider), (0.5, 0.5))
    found, own = mixed.logits(ids, mask), wider.logits(ids, mask)
    assert mixed.labels.names == ("NOUN", "VERB", "ADP")
    torch.testing.assert_close(found[..., 2], 0.5 * (one.amin(-1) + own[..., 0]))
    torch.testing.assert_close(found[..., 0], 0.5 * (one[..., 0] + own[..., 1]))
    whole = put_head(tiny_encoder("bert", tokenizer), replace(LABELS, unit=LabelledUnit.sentence))
    with raises(CompatibilityError, "sentence", "token"):
        HeadEnsemble((heads[0], whole), (0.5, 0.5))


def test_states_are_means_over_a_texts_tokens():
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    found = mean_states(model, tokenizer, ENGLISH[:3], longest=60)
    with torch.no_grad():
        ids = tokenizer(ENGLISH[1], return_tensors="pt").input_ids
        own = model.bert(ids).last_hidden_state[0].mean(0)
    torch.testing.assert_close(found[1], own)
    assert mean_distance(found, found) == 0
    assert mean_distance(found, found + 1) == pytest.approx(found.shape[1] ** 0.5)


def test_sentences_of_all_languages_are_translations_of_each_other():
    world = open_data(MicroworldData(languages=["id", "tr"], evaluation=12))
    english, turkish = (
        sentences_of(world, "translation", lang, "id", "test", 10) for lang in ("en", "tr")
    )
    rows = world.task_rows("translation", "tr")[:10]
    assert english == [row["sentence_en"] for row in rows]
    assert turkish == [row["sentence_tr"] for row in rows]
    with raises(DataError, "sentences", "12", "13"):
        sentences_of(world, "translation", "en", "id", "test", 13)


def test_sets_and_languages_are_looked_at_before_any_step():
    world = open_data(MicroworldData(languages=["id", "tr"], evaluation=12))
    step = EnsembleStep(languages={"en": "a", "tr": "b"}, language="id")
    step.check(world)
    with raises(DataError, "hi"):
        replace(step, languages={"en": "a", "hi": "b"}).check(world)
    with raises(ConfigError, "part_of_speech"):
        replace(step, task="part_of_speech").check(world)
    replace(step, task="none", weights=SourceWeights.equal).check(world)
