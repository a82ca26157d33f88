"""Multi-token prediction: the loss by hand, and what is left of the heads."""

from pathlib import Path

import pytest
import torch

from franken.config.training import ShieldOptions, Trainable, TrainingConfig
from franken.distillation.simct import Simct
from franken.errors import ConfigError
from franken.steps.train import TrainStep
from franken.steps.train_labels import TrainLabelsStep
from franken.training.ahead import add_heads, heads_ahead, take_off_heads
from franken.training.batches import completed
from franken.training.module import CausalModule
from franken.training.runner import train_model
from tests.composition.hydras import hydra
from tests.faults import faults_of, raises
from tests.training.tiny import CPU, TinyData, tiny_model

TRAINING = TrainingConfig(steps=3, batch_size=4, sequence_length=16, lr=1e-2, ahead=2)


@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_each_head_predicts_its_own_distance_within_a_document(family):
    model = tiny_model(family)
    module = CausalModule.for_training(model, Trainable.full, TRAINING).train()
    model.eval()  # no dropout
    add_heads(model, 2)
    for number, rows in heads_ahead(model):
        rows.data += 0.05 * number * torch.randn(rows.shape, generator=torch.Generator())
    ids = torch.tensor([[5, 6, 7, 8, 9, 3, 4, 5], [3, 9, 4, 9, 5, 6, 0, 0]])
    segments = torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 0, 0]])
    batch = completed({"input_ids": ids, "segment_ids": segments})
    batch["position_ids"] = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3], list(range(8))])
    states = module.hidden_states(batch)
    heads = [model.get_output_embeddings().weight, *(rows for _, rows in heads_ahead(model))]
    losses = []
    for distance, rows in enumerate(heads, 1):
        nats = 0.0
        for row, place in ((r, p) for r in range(2) for p in range(8 - distance)):
            if segments[row, place] == segments[row, place + distance] != 0:
                logits = states[row, place] @ rows.T * module._scale
                if module._softcap:
                    logits = module._softcap * torch.tanh(logits / module._softcap)
                nats -= logits.log_softmax(0)[ids[row, place + distance]]
        losses.append(nats)
    torch.testing.assert_close(module.summed_loss(batch), torch.stack(losses).mean())
    module.eval()
    torch.testing.assert_close(module.summed_loss(batch), losses[0])  # validation compares


def test_heads_begin_as_copies_train_and_are_gone(tmp_path: Path):
    model = tiny_model("llama")
    names = set(model.state_dict())
    before = model.get_input_embeddings().weight.clone()
    report = train_model(
        model, None, TinyData(TRAINING), TRAINING, Trainable.embeddings, CPU,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert set(model.state_dict()) == names
    assert not torch.equal(model.get_input_embeddings().weight, before)
    assert report.curve[0]["next_token"] > 0
    add_heads(model, 1)
    head = model.get_output_embeddings().weight
    assert [torch.equal(rows, head) for _, rows in heads_ahead(model)] == [True]
    take_off_heads(model)


def test_where_heads_make_no_sense_they_are_refused():
    assert set(faults_of(TrainingConfig, ahead=-1)) == {"ahead"}
    shield = ShieldOptions(share=0.5)
    assert set(faults_of(TrainingConfig, ahead=1, shield=shield)) == {"ahead"}
    step = {"model": "base", "training": TRAINING}
    taught = {"distillation": Simct(), "teacher": "base"}
    assert set(faults_of(TrainStep, **step, **taught)) == {"training.ahead"}
    assert set(faults_of(TrainLabelsStep, **step)) == {"training.ahead"}
    with raises(ConfigError, "training.ahead", "tables"):
        add_heads(hydra()[0].view("xx", ["en"]).model, 1)
