"""EWC: the diagonal Fisher information, and the pull that it weighs."""

import torch
from torch import nn

from franken.config.training import Trainable, TrainingConfig
from franken.errors import ConfigError, DataError
from franken.training.fisher import diagonal_fisher, documents_of
from franken.training.module import CausalModule
from franken.training.policy import apply_policy
from franken.training.runner import _Run, train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model


def packed():
    """Two rows: three documents, one of them without a position that counts, and padding."""
    labels = [[-100, 5, 6, -100, 8, -100, -100, -100], [-100, -100, 7, 9, -100, -100, -100, -100]]
    return {
        "input_ids": torch.tensor([[4, 5, 6, 7, 8, 3, 3, 0], [5, 6, 7, 9, 0, 0, 0, 0]]),
        "labels": torch.tensor(labels),
        "position_ids": torch.tensor([[0, 1, 2, 0, 1, 0, 1, 0], [0, 1, 2, 3, 0, 0, 0, 0]]),
        "segment_ids": torch.tensor([[1, 1, 1, 2, 2, 3, 3, 0], [1, 1, 1, 1, 0, 0, 0, 0]]),
    }


def test_worked_by_hand():
    # Two documents, one weight: -log p = -log sigmoid(w x); its derivative is -x (1 - sigmoid).
    weight = nn.Parameter(torch.tensor([0.0]))
    unused = nn.Parameter(torch.tensor([3.0, 4.0]))
    documents = [{"x": 2.0}, {"x": -4.0}]

    def loss(document):
        return -torch.nn.functional.logsigmoid(weight * document["x"]).sum()

    found, nothing = diagonal_fisher([weight, unused], loss, documents)
    # At w = 0 the sigmoid is 1/2: gradients -1 and 2, squares 1 and 4, mean 2.5.
    assert found.tolist() == [2.5]
    assert nothing.tolist() == [0.0, 0.0]
    assert weight.grad is None


def test_documents_of_packed_rows_stand_alone():
    found = list(documents_of([packed()], 10))
    assert [d["input_ids"].tolist() for d in found] == [[[4, 5, 6]], [[7, 8]], [[5, 6, 7, 9]]]
    assert all(bool((d["segment_ids"] == 1).all()) for d in found)
    assert len(list(documents_of([packed()] * 3, 4))) == 4


def test_equals_one_backward_pass_per_document():
    model = tiny_model("llama")
    config = TrainingConfig(steps=1, batch_size=2, sequence_length=8)
    policy = apply_policy(model, Trainable.full, config)
    module = CausalModule(model.eval(), policy, config, seed=0)
    moving = [p for p in model.parameters() if p.requires_grad]
    found = diagonal_fisher(moving, module.summed_loss, documents_of([packed()], 10))

    squares = [torch.zeros_like(p) for p in moving]
    for ids, answers in (([4, 5, 6], [1, 2]), ([7, 8], [1]), ([5, 6, 7, 9], [2, 3])):
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        (-sum(logits[at - 1, ids[at]] for at in answers)).backward()
        for total, parameter in zip(squares, moving, strict=True):
            if parameter.grad is not None:
                total += parameter.grad.square()
                parameter.grad = None
    assert any(bool((total > 0).any()) for total in squares)
    for ours, naive in zip(found, squares, strict=True):
        torch.testing.assert_close(ours, naive / 3, rtol=1e-3, atol=1e-9)


def test_the_pull_is_the_gradient_of_the_weighted_squares():
    model = tiny_model("llama")
    config = TrainingConfig(steps=1, batch_size=2, sequence_length=8, anchor=3.0)
    policy = apply_policy(model, Trainable.full, config)
    moving = [p for p in model.parameters() if p.requires_grad]
    starts = [p.detach() + 0.1 for p in moving]
    weights = [torch.rand_like(p) for p in moving]
    module = CausalModule(model, policy, config, seed=0, anchors=starts, importances=weights)
    for parameter in moving:
        parameter.grad = torch.zeros_like(parameter)
    module._pull()
    pulled = [p.grad.clone() for p in moving]
    for parameter in moving:
        parameter.grad = None
    penalty = sum(
        (w * (p - s).square()).sum() for w, p, s in zip(weights, moving, starts, strict=True)
    )
    (3.0 / 2 * penalty).backward()
    for ours, parameter in zip(pulled, moving, strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def trained(folder, **changes):
    model = tiny_model("llama")
    settings = TrainingConfig(
        steps=12, batch_size=4, sequence_length=16, lr=1e-2, grad_clip=0.0, **changes
    )
    data = TinyData(settings)
    train_model(
        model, None, data, settings, Trainable.full, CPU, work_dir=folder, seed=0,
        earlier=[TinyData(settings)] if settings.anchor_examples else [],
    )  # fmt: skip
    return model


def test_important_weights_stay_and_unimportant_ones_move(tmp_path):
    # Rows of the input table that no document holds have no Fisher information: the pull leaves
    # them alone, as it leaves those that matter little; with equal importances all are pulled.
    start = torch.cat([p.detach().flatten() for p in tiny_model("llama").parameters()])
    free, plain, ewc = (
        torch.cat([p.detach().flatten() for p in model.parameters()])
        for model in (
            trained(tmp_path / "free"),
            trained(tmp_path / "plain", anchor=30.0),
            trained(tmp_path / "ewc", anchor=30.0, anchor_examples=8),
        )
    )
    moved = [(weights - start).square().sum().sqrt() for weights in (free, plain, ewc)]
    assert moved[1] < moved[2] < moved[0]
    again = torch.cat([
        p.detach().flatten()
        for p in trained(tmp_path / "again", anchor=30.0, anchor_examples=8).parameters()
    ])  # fmt: skip
    assert torch.equal(again, ewc)


def test_measuring_leaves_the_modes_of_the_model_alone(tmp_path):
    model, settings = tiny_model("llama"), TrainingConfig(anchor=1.0, anchor_examples=2)
    data = TinyData(settings)
    run = _Run(model, None, data, settings, Trainable.full, CPU, tmp_path, 0, [data])
    assert all(part.training for part in model.modules())  # as the policy `full` sets it
    assert [f.shape for f in run.importances] == [a.shape for a in run.anchors]


def test_without_data_or_pull_it_is_refused(tmp_path):
    with raises(DataError, "anchor_examples"):
        diagonal_fisher([nn.Parameter(torch.zeros(1))], lambda b: torch.zeros(()), [])
    settings = TrainingConfig(steps=2, batch_size=4, sequence_length=16, anchor_examples=2)
    with raises(ConfigError, "anchor"):
        train_model(
            tiny_model("llama"), None, TinyData(settings), settings, Trainable.full, CPU,
            work_dir=tmp_path, seed=0, earlier=[TinyData(settings)],
        )  # fmt: skip
