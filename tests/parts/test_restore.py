"""Weights that were frozen in a narrower format come back bit for bit; trained ones stay."""

from pathlib import Path
from typing import Any

import pytest
import torch

from franken.composition.hydra import HydraModel
from franken.config.training import EmbeddingSides, Trainable, TrainingConfig
from franken.parts.body import load_body, save_body
from franken.parts.restore import restore_body, restore_rows
from franken.parts.surgery import put_table, take_table
from franken.training import apply_policy
from tests.composition.hydras import LINEAGE, other_table

from .tiny import tiny_model, tiny_tokenizer

EDGES = TrainingConfig(edge_layers=1)


def stored_model(family: str, directory: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """A model whose body lies in ``directory``, and its table."""
    tokenizer = tiny_tokenizer()
    model = tiny_model(family, tied=False, rows=len(tokenizer), num_hidden_layers=4).to(dtype)
    save_body(model, directory, tokenizer=tokenizer)
    return model, take_table(model, tokenizer, lineage=LINEAGE)


def move(model: Any) -> None:
    """What training does: trained weights alone change."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.001


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("several", [False, True])
def test_layers_between_the_edges_are_those_of_the_input(
    several: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    model, table = stored_model("llama", tmp_path / "in", dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = model
    if several:
        body = load_body(tmp_path / "in")
        hydra = HydraModel(body, {"en": table, "xx": other_table(table)}, lineage=LINEAGE)
        hydra.tables["en"].frozen = True
        model, trained = body, hydra.view("xx", ["en"], joint=True).model
    apply_policy(trained, Trainable.embeddings_and_edge_layers, EDGES, body_dtype=torch.bfloat16)
    move(trained)
    narrowed = model.model.layers[1].mlp.up_proj.weight.float()
    kept = before["model.layers.1.mlp.up_proj.weight"].float()
    assert torch.equal(narrowed, kept) == (dtype is torch.bfloat16)
    restore_body(model, tmp_path / "in")
    save_body(model, tmp_path / "out")
    after = dict(load_body(tmp_path / "out").named_parameters())
    equal = {name for name, p in after.items()
             if ".layers." in name and torch.equal(p.float(), before[name].float())}  # fmt: skip
    assert {name.split(".layers.")[1][0] for name in equal} == {"1", "2"}
    assert len(equal) == sum(f".layers.{i}." in name for name in before for i in (1, 2))
    assert torch.equal(after["model.norm.weight"].float(), before["model.norm.weight"].float())


def test_the_side_of_a_table_that_did_not_train_is_that_of_the_input(tmp_path: Path) -> None:
    model, table = stored_model("llama", tmp_path / "in", torch.float32)
    put_table(model, table)
    config = TrainingConfig(sides=EmbeddingSides.input)
    apply_policy(model, Trainable.embeddings, config, body_dtype=torch.bfloat16)
    move(model)
    restore_rows(model.get_input_embeddings(), model.get_output_embeddings(), table)
    found = take_table(model, table.tokenizer, lineage=LINEAGE)
    assert found.output is not None
    assert torch.equal(found.output, table.output)
    assert not torch.equal(found.input, table.input)
