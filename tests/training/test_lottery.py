"""Sparse tuning: which weights are chosen, and that no other moves."""

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.errors import ArtifactError
from franken.training.lottery import largest_together, random_together
from franken.training.policy import apply_policy, norm_parameters
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model

SETTINGS = {"steps": 5, "batch_size": 4, "sequence_length": 16, "lr": 1e-2}


def slowly(changes, count):
    entries = [
        (-abs(value), order, place)
        for order, change in enumerate(changes.values())
        for place, value in enumerate(change.flatten().tolist())
    ]
    kept = {(order, place) for _, order, place in sorted(entries)[:count]}
    return {
        name: torch.tensor(
            [(order, place) in kept for place in range(change.numel())]
        ).reshape(change.shape)
        for order, (name, change) in enumerate(changes.items())
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 7, 23, 100])
def test_the_largest_changes_of_all_tensors_are_chosen_and_ties_by_place(count):
    generator = torch.Generator().manual_seed(3)
    changes = {
        "a": torch.randint(-4, 5, (3, 4), generator=generator).float(),
        "b": torch.randint(-4, 5, (11,), generator=generator).float(),
    }
    found, expected = largest_together(changes, count), slowly(changes, count)
    assert all(torch.equal(found[name], expected[name]) for name in changes)


def test_chance_takes_as_many_and_looks_at_the_seed_alone():
    shapes = {"a": (3, 4), "b": (11,)}
    first, again, other = (
        random_together(shapes, 9, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert sum(int(mask.sum()) for mask in first.values()) == 9
    assert {name: tuple(mask.shape) for name, mask in first.items()} == shapes
    assert all(torch.equal(first[name], again[name]) for name in shapes)
    assert any(not torch.equal(first[name], other[name]) for name in shapes)


def trained(tmp_path, make_masks, trainable=Trainable.body, **changes):
    settings = TrainingConfig(**{**SETTINGS, **changes})
    model = tiny_model("llama")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    names = apply_policy(model, trainable, settings).names
    masks = make_masks({name: start[name] for name in names})
    train_model(
        model, None, TinyData(settings), settings, trainable, CPU, work_dir=tmp_path, seed=0,
        masks=masks,
    )  # fmt: skip
    return start, dict(model.named_parameters()), masks


def test_only_what_the_mask_allows_moves(tmp_path):
    def every_third(weights):
        return {n: torch.arange(w.numel()).reshape(w.shape) % 3 == 0 for n, w in weights.items()}

    start, end, masks = trained(tmp_path, every_third)
    for name, mask in masks.items():
        moved = end[name].detach() != start[name]
        assert not moved[~mask].any(), name
        assert moved[mask].float().mean() > 0.9, name


def test_a_mask_of_everything_is_plain_training_to_the_last_bit(tmp_path):
    _, plain, _ = trained(tmp_path / "plain", lambda weights: None)
    _, masked, _ = trained(
        tmp_path / "masked", lambda weights: {n: torch.ones_like(w) > 0 for n, w in weights.items()}
    )
    assert all(torch.equal(plain[name], masked[name]) for name in plain)


def test_a_run_of_another_mask_is_not_continued(tmp_path):
    trained(tmp_path, lambda weights: {n: torch.ones_like(w) > 0 for n, w in weights.items()})
    with raises(ArtifactError, tmp_path):
        trained(tmp_path, lambda weights: {n: w > 0 for n, w in weights.items()})


def test_norms_stay_where_they_are_when_frozen(tmp_path):
    start, end, _ = trained(tmp_path, lambda w: None, Trainable.full, freeze_norms=True)
    norms = {name for name in start if "norm" in name}
    assert len(norms) == len(norm_parameters(tiny_model("llama"))) == 7
    same = {name for name in start if torch.equal(end[name], start[name])}
    assert same == norms


def test_the_pull_by_distance_keeps_weights_nearer_and_most_where_they_are(tmp_path):
    def distance(weight):
        start, end, _ = trained(
            tmp_path / str(weight), lambda weights: None, anchor_l1=weight, grad_clip=0.0, steps=12
        )
        return sum(float((end[n].detach() - w).abs().sum()) for n, w in start.items())

    assert distance(3e3) < 0.7 * distance(0.0)
