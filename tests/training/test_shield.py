"""Source-shielded updates: what stays, by which score, bit for bit."""

import pytest
import torch

from franken.config.training import ShieldOptions, ShieldScore, Trainable, TrainingConfig
from franken.errors import ConfigError, DataError
from franken.training.policy import apply_policy, embedding_parameters
from franken.training.runner import train_model
from franken.training.shield import column_scores, highest, mean_squares, shield_masks
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, tiny_model

DRAWS = torch.Generator().manual_seed(0)


def test_scores_worked_by_hand():
    rows = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    squares = torch.tensor([4.0, 9.0])
    found = {
        score: column_scores(rows, squares, score, DRAWS).tolist()
        for score in (ShieldScore.paper, ShieldScore.released, ShieldScore.magnitude)
    }
    assert found[ShieldScore.paper] == [8.0, 6.0]  # 4 * 2, 2 * 3
    assert found[ShieldScore.released] == pytest.approx([10**0.5 * 4, 18.0])
    assert found[ShieldScore.magnitude] == [4.0, 2.0]


@pytest.mark.parametrize(
    ("share", "kept"), [(0.0, []), (0.5, [1, 2]), (0.75, [0, 1, 2]), (1.0, [0, 1, 2, 3])]
)
def test_the_best_scored_share_is_kept_the_first_of_equals_first(share, kept):
    found = highest(torch.tensor([1.0, 3.0, 2.0, 1.0]), share)
    assert found.nonzero().flatten().tolist() == kept


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_inputs_are_measured_over_all_positions(family):
    model = tiny_model(family)
    name = {"llama": "model.layers.1.mlp.gate_proj", "gpt2": "transformer.h.1.mlp.c_fc"}[family]
    seen = []
    handle = model.get_submodule(name).register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].flatten(0, -2))
    )
    documents = [torch.tensor([[4, 5, 6]]), torch.tensor([[7, 8]])]
    found = mean_squares(model, [name], lambda ids: model(input_ids=ids), documents)
    handle.remove()
    expected = torch.cat(seen).square().mean(0)
    assert len(torch.cat(seen)) == 5
    torch.testing.assert_close(found[name], expected)
    with raises(DataError, name):
        mean_squares(model, [name], lambda ids: model(input_ids=ids), [])


def masks_of(family, **options):
    model = tiny_model(family)
    apply_policy(model, Trainable.full, TrainingConfig(steps=1, sequence_length=8))
    documents = [torch.tensor([[4, 5, 6, 7]])]
    return model, shield_masks(
        model, embedding_parameters(model), ShieldOptions(**options),
        lambda ids: model(input_ids=ids), documents, 0,
    )  # fmt: skip


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("score", list(ShieldScore))
def test_whole_input_columns_stay_vectors_too_and_tables_are_free(family, score):
    model, masks = masks_of(family, share=0.5, score=score)
    tables = embedding_parameters(model)
    matrices = 0
    for name, parameter in model.named_parameters():
        mask = masks[name]
        assert mask.shape == parameter.shape
        if any(parameter is table for table in tables):
            assert mask.all()
        elif parameter.ndim == 1:
            assert not mask.any()
        elif "wpe" not in name:
            columns = mask if family == "gpt2" else mask.T  # (in, out)
            assert (columns.all(1) | ~columns.any(1)).all()
            assert int((~columns.any(1)).sum()) == round(0.5 * len(columns))
            matrices += 1
    assert matrices >= 12


def test_all_columns_leave_the_tables_alone_to_train():
    _, masks = masks_of("llama", share=1.0)
    moving = {name for name, mask in masks.items() if mask.any()}
    assert moving == {"model.embed_tokens.weight", "lm_head.weight"}


def trained(tmp_path, **options):
    model = tiny_model("llama")
    settings = TrainingConfig(
        steps=4, batch_size=4, sequence_length=16, lr=1e-2, shield=ShieldOptions(**options)
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    train_model(
        model, None, TinyData(settings), settings, Trainable.full, CPU,
        work_dir=tmp_path / str(options), seed=0, earlier=[TinyData(settings)],
    )  # fmt: skip
    return before, dict(model.named_parameters())


def test_what_is_shielded_is_bit_identical_after_training_and_the_rest_moved(tmp_path):
    before, after = trained(tmp_path, share=0.5, examples=3)
    for name, start in before.items():
        moved = start != after[name]
        if "embed" in name or "lm_head" in name:
            assert moved.any(), name
        elif start.ndim == 1:
            assert not moved.any(), name
        else:
            assert int((~moved.any(0)).sum()) == round(0.5 * start.shape[1]), name


def test_without_matrices_it_is_refused():
    model = tiny_model("llama")
    apply_policy(model, Trainable.embeddings, TrainingConfig(steps=1, sequence_length=8))
    with raises(ConfigError, "training.shield.share", "trainable=full"):
        shield_masks(model, embedding_parameters(model), ShieldOptions(share=0.5), print, [], 0)
