"""Pseudo-perplexity against the definition, written out one token at a time."""

import math

import pytest
import torch

import franken
from tests.init_method.texts import ENGLISH
from tests.parts.encoders import KINDS, encoder_tokenizer, tiny_encoder

TEXTS = [ENGLISH[0], " ".join(ENGLISH[1:4]), ENGLISH[4]]


@pytest.mark.parametrize("family", sorted(KINDS))
@pytest.mark.parametrize("window", [5, None], ids=["cut", "whole"])
def test_it_is_the_sum_over_tokens_hidden_one_by_one(family, window):
    tokenizer = encoder_tokenizer(family)
    model = tiny_encoder(family, tokenizer)
    task = {"kind": "pseudo_bits_per_byte", "source": "monolingual", "window_tokens": window}
    scores = franken.evaluate(
        model, tokenizer, {"pseudo": task}, data={"en": TEXTS}, batch_tokens=100
    )
    nats = sum(slow_nats(model, tokenizer, text, window or 60) for text in TEXTS)
    (item,) = scores.scores
    size = sum(len(text.encode()) for text in TEXTS)
    hidden = item.extra["hidden"] * size
    expected = (nats / math.log(2) + 8 * hidden) / size
    assert item.value == pytest.approx(expected, rel=1e-5)
    assert (item.metric, item.n) == ("pseudo_bits_per_byte", len(TEXTS))


def slow_nats(model, tokenizer, text, window):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    total = 0.0
    for first in range(0, len(ids), window):
        piece = ids[first : first + window]
        for place, token in enumerate(piece):
            masked = [*piece]
            masked[place] = tokenizer.mask_token_id
            start = [] if tokenizer.bos_token is None else [tokenizer.bos_token_id]
            whole = torch.tensor([[*start, *masked, tokenizer.sep_token_id]])
            with torch.no_grad():
                logits = model(whole).logits[0, len(start) + place]
            total -= logits.log_softmax(0)[token].item()
    return total


def test_each_kind_of_model_has_its_own_tasks():
    tokenizer = encoder_tokenizer("xlm-roberta")
    model = tiny_encoder("xlm-roberta", tokenizer)
    both = ["bits_per_byte", "pseudo_bits_per_byte"]
    scores = franken.evaluate(model, tokenizer, both, data={"en": TEXTS[:1]})
    assert [score.task for score in scores.scores] == ["pseudo_bits_per_byte"]
    assert {row["task"] for row in scores.skipped} == {"bits_per_byte"}
