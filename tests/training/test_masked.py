"""Masked language modelling: what is hidden, what is summed, and that it resumes to the bit."""

import pytest
import torch
from torch.nn import functional as F

from franken.config.training import MaskingConfig, Trainable, TrainingConfig
from franken.errors import CompatibilityError
from franken.tokenizer.pieces import canonical_bytes
from franken.training.masked import MaskedModule, documents
from franken.training.masking import TokenMasker
from franken.training.module import CausalModule
from tests.faults import raises
from tests.init_method.texts import ENGLISH, SWAHILI
from tests.parts.encoders import KINDS, encoder_tokenizer, tiny_encoder

LENGTH = 48
LINES = [*ENGLISH, *SWAHILI]


def packed(tokenizer, rows=6):
    """Sequences of several documents each, padded at the end, first tokens without a label."""
    ids = torch.full((rows, LENGTH), tokenizer.pad_token_id)
    labels, segments = torch.full_like(ids, -100), torch.zeros_like(ids)
    lines = iter(LINES * 99)
    for row in range(rows):
        at = number = 0
        while at < LENGTH - 8:
            own = tokenizer(next(lines)).input_ids[: LENGTH - 8 - at]
            place = slice(at, at + len(own))
            ids[row, place] = labels[row, place] = torch.tensor(own)
            number += 1
            segments[row, place] = number
            labels[row, at] = -100
            at += len(own)
    return {"input_ids": ids, "labels": labels, "segment_ids": segments}


@pytest.fixture(params=sorted(KINDS))
def family(request):
    return request.param


@pytest.fixture
def tokenizer(family):
    return encoder_tokenizer(family)


def test_shares_of_what_is_hidden_are_those_asked_for(tokenizer):
    batch = packed(tokenizer, rows=200)
    hidden = TokenMasker.of(tokenizer, MaskingConfig()).hide(batch, 5)
    special = torch.isin(batch["input_ids"], torch.tensor(tokenizer.all_special_ids))
    free = (batch["labels"] != -100) & ~special
    chosen = hidden["labels"] != -100
    assert not (chosen & ~free).any()
    assert torch.equal(hidden["labels"][chosen], batch["input_ids"][chosen])
    count, most = int(free.sum()), int(chosen.sum())
    assert abs(most / count - 0.15) < 4 * (0.15 * 0.85 / count) ** 0.5
    masked = hidden["input_ids"][chosen] == tokenizer.mask_token_id
    assert abs(masked.float().mean() - 0.8) < 4 * (0.8 * 0.2 / most) ** 0.5
    moved = (hidden["input_ids"] != batch["input_ids"])[chosen] & ~masked
    assert abs(moved.float().mean() - 0.1) < 4 * (0.1 * 0.9 / most) ** 0.5
    assert torch.equal(hidden["input_ids"][~chosen], batch["input_ids"][~chosen])


def test_equal_seeds_hide_equally_and_others_do_not(tokenizer):
    batch, masker = packed(tokenizer), TokenMasker.of(tokenizer, MaskingConfig())
    first, again, other = (masker.hide(batch, seed)["input_ids"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_whole_words_are_hidden_or_left(tokenizer):
    batch = packed(tokenizer, rows=40)
    rule = MaskingConfig(rate=0.3, whole_words=True, masked=1.0, random=0.0)
    chosen = TokenMasker.of(tokenizer, rule).hide(batch, 3)["labels"] != -100
    spelled = canonical_bytes(tokenizer)
    seen = 0
    for row in range(40):
        ids, segments = batch["input_ids"][row].tolist(), batch["segment_ids"][row].tolist()
        for at in range(1, LENGTH):
            inside = segments[at] and segments[at] == segments[at - 1]
            own, before = spelled[ids[at]], spelled[ids[at - 1]]
            labelled = batch["labels"][row, at - 1] != -100
            if inside and labelled and own and before and not own.startswith(b" "):
                assert chosen[row, at] == chosen[row, at - 1]
                seen += int(chosen[row, at])
    assert seen > 5


def test_documents_of_a_sequence_are_taken_apart():
    segments = torch.tensor([[1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]])
    ids = torch.arange(12).view(2, 6)
    labels = torch.full_like(ids, -100)
    labels[0, 3], labels[1, 5] = 3, 11
    ((found, own),) = documents(ids, labels, segments)
    assert found.tolist() == [[2, 3, 4, -1, -1, -1], [6, 7, 8, 9, 10, 11]]
    assert own[0].tolist() == [-100, 3, -100, -100, -100, -100]


def test_the_loss_is_that_of_documents_run_alone(family, tokenizer):
    model = tiny_encoder(family, tokenizer)
    config = TrainingConfig(loss_chunk_tokens=7)
    module = MaskedModule.for_training(model, Trainable.embeddings, config, tokenizer=tokenizer)
    batch = module.masker.hide(packed(tokenizer), 4)
    expected = 0.0
    for row in range(len(batch["input_ids"])):
        for number in range(1, int(batch["segment_ids"][row].max()) + 1):
            own = batch["segment_ids"][row] == number
            logits = model(batch["input_ids"][row][own][None]).logits[0]
            labels = batch["labels"][row][own]
            expected += F.cross_entropy(logits, labels, reduction="sum", ignore_index=-100)
    loss = module.summed_loss(batch)
    assert int(module.counted(batch)) > 10
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-4)
    rows = model.get_input_embeddings().weight
    bias = model.get_output_embeddings().bias
    ours = torch.autograd.grad(loss, [rows, bias])
    theirs = torch.autograd.grad(expected, [rows, bias])
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_batch_without_a_hidden_token_has_a_gradient_of_zeros():
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    module = MaskedModule.for_training(
        model, Trainable.embeddings, TrainingConfig(), tokenizer=tokenizer
    )
    batch = packed(tokenizer)
    labels = torch.full_like(batch["labels"], -100)
    loss = module.summed_loss({**batch, "labels": labels, "hidden": True})
    assert loss == 0
    loss.backward()
    assert not model.get_input_embeddings().weight.grad.any()


def test_a_module_of_the_other_kind_refuses_the_model(tokenizer, family):
    model = tiny_encoder(family, tokenizer)
    with raises(CompatibilityError, type(model).__name__):
        CausalModule.for_training(model, Trainable.embeddings, TrainingConfig())
