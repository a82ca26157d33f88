"""Sentence pairs beside a phase's own loss: whose states, which steps, and that it goes on."""

from dataclasses import replace

import pytest
import torch

from franken.config.training import AdapterConfig, LoraConfig, Trainable, TrainingConfig
from franken.data.sentence_pairs import PairRows, Sentences
from franken.errors import ConfigError, DataError
from franken.interruption import Interrupted
from franken.pair_loss.base import PairLoss, Pooling
from franken.pair_loss.middle_alignment import MiddleAlignment
from franken.pair_loss.tada import Tada
from franken.pair_loss.unibridge import Unibridge
from franken.preference.dpo import Dpo
from franken.steps.common.pair_data import check_pairs
from franken.steps.train import TrainStep
from franken.training.layer_states import (
    layer_number,
    pooled,
    sentence_states,
    states_behind,
)
from franken.training.pair_training import MARK, PairTraining
from franken.training.runner import train_model
from tests.data.conftest import word_tokenizer
from tests.faults import faults_of, raises
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.training.tiny import CPU, TinyData, tiny_model

SENTENCES = [
    Sentences(*texts, 0)
    for texts in (("ab", "xyz"), ("cde", "v"), ("fa", "wxv"), ("bgec", "zz"), ("d", "yxw"))
]
TRAINING = TrainingConfig(
    steps=12, batch_size=4, sequence_length=16, lr=1e-2, accumulate=2, checkpoint_every=4
)


def rows_of(tokenizer=None, rows=3) -> PairRows:
    return PairRows(SENTENCES, tokenizer or word_tokenizer(), 16, rows, seed=5)


def causal(family="llama", **changes):
    return tiny_model(family, vocab_size=170, **changes)


def test_batches_hold_both_sides_and_each_epoch_every_pair():
    rows = rows_of(rows=2)
    drawn = [number for batch in range(5) for number in rows.numbers(batch)]
    assert sorted(drawn[:5]) == sorted(drawn[5:]) == list(range(5))
    assert drawn[:5] != drawn[5:]
    tokenizer = word_tokenizer()
    batch = rows.batch_of([1, 3])
    bos, pad = tokenizer.bos_token_id, tokenizer.pad_token_id
    for row, text in enumerate(("cde", "bgec", "v", "zz")):
        own = [bos, *tokenizer.convert_tokens_to_ids(list(text))]
        assert batch["input_ids"][row].tolist() == own + [pad] * (8 - len(own))
        assert batch["segment_ids"][row].tolist() == [1] * len(own) + [0] * (8 - len(own))
        assert batch["control_ids"][row].nonzero().flatten().tolist() == [
            0, *range(len(own), 8)
        ]  # fmt: skip
    assert batch["numbers"].tolist() == [1, 3]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "xlm-roberta", "deberta-v2"])
def test_states_are_those_that_transformers_gives_for_each_sentence_alone(family):
    masked = family in ("xlm-roberta", "deberta-v2")
    tokenizer = encoder_tokenizer(family) if masked else word_tokenizer()
    model = tiny_encoder(family, tokenizer) if masked else causal(family)
    option = PairLoss(layer=0.5)
    training = PairTraining(option, rows_of(tokenizer))
    depth = 2 if masked else 3
    number = layer_number(0.5, depth)
    batch = training.rows.batch_of([0, 1])
    for layer in (0.5, 1.0):
        option.layer = layer
        found = training.states(model, batch)
        for side, states in enumerate((found.first, found.second)):
            for at in (0, 1):
                row = 2 * side + at
                size = int(batch["segment_ids"][row].sum())
                with torch.no_grad():
                    told = model(
                        batch["input_ids"][row : row + 1, :size], output_hidden_states=True
                    )
                wanted = told.hidden_states[number if layer < 1 else -1][0, 1:].mean(0)
                torch.testing.assert_close(states[at], wanted, rtol=1e-4, atol=1e-5)


def test_layers_above_are_not_run():
    model = causal()
    layers = list(model.model.layers)
    layers[1].register_forward_hook(lambda *_: pytest.fail("was run"))
    batch = rows_of().batch_of([0])
    states_behind(layers, 1, lambda: sentence_states(model, batch))
    assert [layer_number(share, 4) for share in (0.01, 0.5, 0.6, 1.0)] == [1, 2, 2, 4]


def test_pooling_by_hand():
    states = torch.arange(12.0).view(2, 3, 2)
    segments = torch.tensor([[1, 1, 1], [1, 1, 0]])
    control = torch.tensor([[1, 0, 0], [1, 1, 1]])  # the second has nothing else
    assert pooled(states, segments, control, Pooling.mean).tolist() == [[3, 4], [7, 8]]
    assert pooled(states, segments, control, Pooling.first).tolist() == [[0, 1], [6, 7]]
    assert pooled(states, segments, control, Pooling.last).tolist() == [[4, 5], [8, 9]]


def run(
    tmp_path, option=None, *, trainable=Trainable.full, training=TRAINING, stop=None, model=None
):
    model = model or causal()

    def at_step(point):
        if point["step"] == stop:
            raise Interrupted(2)

    data = TinyData(training)
    pairs = None if option is None else PairTraining(option, rows_of())
    report = train_model(
        model, None, data, training, trainable, CPU, work_dir=tmp_path, seed=1, pairs=pairs,
        on_log=at_step,
    )  # fmt: skip
    return model, report, data


def test_every_nth_step_reads_pairs_alone(tmp_path):
    option = MiddleAlignment(every=3)
    _, report, data = run(tmp_path, option)
    paired = [point["step"] for point in report.curve if option.name in point]
    assert paired == [3, 6, 9, 12]
    assert data.loader.position == 2 * 8  # two batches a step with text
    values = [point[option.name] for point in report.curve if option.name in point]
    assert values[-1] < values[0]
    assert report.curve[2]["loss"] == pytest.approx(values[0])


def test_a_step_with_both_has_the_gradient_of_the_sum(tmp_path):
    """By differences of weights after one step of plain descent."""
    training = replace(TRAINING, steps=1, accumulate=1, grad_clip=0.0, optimizer="adamw", eps=1e9)
    # eps that large makes Adam's step lr / eps times the gradient, and nothing else
    training = replace(training, lr=1e9)
    moved = {}
    for name, option in {
        "text": None,
        "pairs": MiddleAlignment(every=1, weight=0.7),
        "both": MiddleAlignment(every=1, weight=0.7, alternate=False),
    }.items():
        model, before = causal(), causal()
        run(tmp_path / name, option, training=training, model=model)
        moved[name] = [a - b for a, b in zip(model.parameters(), before.parameters(), strict=True)]
    for text, pairs, both in zip(*moved.values(), strict=True):
        torch.testing.assert_close(text + pairs, both, rtol=1e-3, atol=1e-6)
    assert any(pairs.abs().max() > 1e-3 for pairs in moved["pairs"])


def test_an_interrupted_run_ends_with_the_same_bits(tmp_path):
    """With weights of the loss's own and states of the model at the beginning."""
    settings = {
        "option": Tada(every=2, batch_size=4, pooling=Pooling.last), "trainable": Trainable.lora,
        "training": replace(TRAINING, lora=LoraConfig(rank=2, dropout=0.3)),
    }  # fmt: skip
    wanted, report, _ = run(tmp_path / "one", **settings)
    with pytest.raises(Interrupted):
        run(tmp_path / "two", **settings, stop=7)
    found, again, _ = run(tmp_path / "two", **settings)
    assert again.resumed_at == 4
    assert again.curve == report.curve
    assert found.state_dict().keys() == wanted.state_dict().keys()
    for name, one in found.state_dict().items():
        assert torch.equal(one, wanted.state_dict()[name])
        assert MARK not in name


def test_pairs_alone_teach_an_adapter_the_states_of_the_untouched_model(tmp_path):
    """The distance falls, and the source language is where it was."""
    option = Tada(critic=0.0, keep=1.0, batch_size=5, pooling=Pooling.mean)
    training = replace(TRAINING, steps=30, accumulate=1, adapter=AdapterConfig(reduction=1.0))
    model = causal()
    pairs = PairTraining(option, rows_of())
    batch = pairs.rows.batch_of(range(5))
    before = pairs.states(model, batch).first.detach()
    train_model(
        model, None, TinyData(training), training, Trainable.adapter, CPU, work_dir=tmp_path,
        seed=1, pairs=pairs,
    )  # fmt: skip
    states = pairs.states(model, batch)
    torch.testing.assert_close(states.reference_first, before)
    plain = pairs.states(causal(), batch)
    far, near = (float((s.second - before).detach().norm()) for s in (plain, states))
    assert near < 0.85 * far
    assert float((states.first - before).detach().norm()) < 0.5 * far


def test_another_model_is_read_with_its_own_tokenizer():
    own = encoder_tokenizer("xlm-roberta")
    other = tiny_encoder("xlm-roberta", own)
    rows = PairRows(SENTENCES, own, 16, 3, seed=5, single=True)
    pairs = PairTraining(Unibridge(), replace(rows_of(), single=True), (other, rows))
    model = causal().requires_grad_(True)
    pairs.begin(model, "cpu")
    states = pairs.states(model, pairs.rows.batch_of([1]))
    with torch.no_grad():
        ids = torch.tensor([[2, *own.convert_tokens_to_ids(list("cde"))]])  # <s>
        told = other(ids, output_hidden_states=True)
    wanted = told.hidden_states[-1][0, 1:].mean(0)
    torch.testing.assert_close(states.reference_second[0], wanted, rtol=1e-4, atol=1e-5)
    assert states.first is states.second


def test_where_pairs_cannot_go_they_are_refused(tmp_path):
    with raises(ConfigError, "pair_loss.layer", "nothing that trains"):
        run(
            tmp_path, MiddleAlignment(layer=0.3), trainable=Trainable.lora,
            training=replace(TRAINING, lora=LoraConfig(rank=2, first=0, last=1)),
        )  # fmt: skip
    for changes in ({"devices": 2}, {"compile": "inductor"}, {"offload": True}):
        with raises(ConfigError, "pair_loss"):
            PairTraining(MiddleAlignment(), rows_of()).refuse(causal(), replace(CPU, **changes))
    with raises(ConfigError, "pair_loss.pooling", "first"):
        PairTraining(Tada(), rows_of()).refuse(causal(), CPU)
    assert set(faults_of(MiddleAlignment, layer=0.0, every=0, temperature=0.0, batch_size=1)) == {
        "layer", "every", "temperature", "batch_size",
    }  # fmt: skip
    step = {"model": "base", "pair_loss": MiddleAlignment(), "ranked": "ranked"}
    assert "pair_loss" in faults_of(TrainStep, **step, preference=Dpo())
    assert set(faults_of(TrainStep, model="base", reference="base")) == {"reference"}


def test_languages_without_pairs_are_refused_before_anything_runs(world_source):
    check_pairs(MiddleAlignment(), world_source)
    check_pairs(None, world_source)
    with raises(DataError, "pair_loss", "xx"):
        check_pairs(MiddleAlignment(languages=["id", "xx"]), world_source)


@pytest.fixture
def world_source():
    from franken.config.data import MicroworldData
    from franken.data import open_data

    return open_data(MicroworldData(languages=["id"], sentences=4, parallel=4))
