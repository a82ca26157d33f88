"""Mixed pairs: what is read, what is learnt, and which weights move."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from franken.config.trainer import TrainerConfig
from franken.config.training import EmbeddingSides, Trainable, TrainingConfig
from franken.data.segments import SegmentEncoder, Turn
from franken.errors import CompatibilityError, ConfigError
from franken.parts.segmented import segmented
from franken.training import apply_policy, train_model
from franken.training.module import CausalModule
from tests.faults import raises

from .hydras import hydra

FAMILIES = [("gemma2", True), ("llama", False)]
PAIR = Turn("the cat sat :", " paka alikaa", "en", "xx")
CPU = TrainerConfig(threads=1, progress=False)


def encoder_of(view: Any, *written: str) -> SegmentEncoder:
    tokenizers = {name: table.tokenizer for name, table in view.tables.items()}
    return SegmentEncoder(
        tokenizers, view.layout.offsets, view.layout.total, written or (view.write,)
    )


def batch_of(encoded: list[Any], width: int = 32) -> dict[str, torch.Tensor]:
    ids = torch.zeros(len(encoded), width, dtype=torch.long)
    segments, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for line, item in enumerate(encoded):
        count = len(item.ids)
        ids[line, :count] = torch.from_numpy(item.ids)
        segments[line, :count] = 1
        labels[line, item.silent : count] = ids[line, item.silent : count]
    positions = torch.arange(width).expand_as(ids)
    return {
        "input_ids": ids, "labels": labels, "position_ids": positions, "segment_ids": segments,
    }  # fmt: skip


class Repeating:
    """One batch again and again."""

    def __init__(self, batch: dict[str, torch.Tensor]) -> None:
        self.batch = batch

    def prepare_data(self) -> None: ...
    def setup(self, stage: str | None = None) -> None: ...
    def val_dataloader(self) -> list[Any]:
        return []

    def train_dataloader(self) -> list[Any]:
        return [self.batch]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_a_turn_is_its_prompt_in_one_vocabulary_and_its_response_in_the_other(
    family: str, tied: bool
) -> None:
    made, _ = hydra(family, tied)
    view = made.view("xx", ["en"])
    (item,) = encoder_of(view).encode([PAIR])
    assert item is not None
    mixed = view.encode([("en", PAIR.prompt), ("xx", PAIR.response)])
    eos = view.tokenizer.eos_token_id
    assert item.ids.tolist() == [*mixed, eos]
    assert (item.ids[: item.silent] >= view.layout.rows[0]).all()
    assert (item.ids[item.silent :] < view.layout.rows[0]).all()
    (short,) = encoder_of(view).encode([PAIR], len(item.ids) - 2)
    assert short is not None
    assert short.truncated
    assert len(short.ids) == len(item.ids) - 2
    assert np.array_equal(short.ids[short.silent :], item.ids[item.silent :])
    assert short.ids[0] == item.ids[0]


def test_text_in_a_table_that_is_not_written_is_refused() -> None:
    made, _ = hydra()
    view = made.view("xx", ["en"])
    with raises(CompatibilityError, "'en'", "(xx)"):
        encoder_of(view).encode([Turn("", "the cat", "en", "en")])


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_the_loss_of_two_written_tables_is_each_ones_own_cross_entropy(
    family: str, tied: bool
) -> None:
    made, _ = hydra(family, tied)
    view = made.view("xx", ["en"])
    back = Turn("paka alikaa :", " the cat sat", "xx", "en")
    encoded = encoder_of(view, "xx", "en").encode([PAIR, back])
    embedding = segmented(view.model)
    assert embedding is not None
    embedding.written = ("xx", "en")
    config = TrainingConfig(steps=1, batch_size=2, loss_chunk_tokens=3)
    policy = apply_policy(view.model, Trainable.embeddings, config)
    module = CausalModule(view.model, policy, config, seed=0)
    batch = batch_of(encoded)
    with torch.no_grad():
        found = module.summed_loss(batch)
        expected = torch.tensor(0.0)
        for item, write in zip(encoded, ("xx", "en"), strict=True):
            own = made.view(write, ["en", "xx"])
            ids = torch.from_numpy(item.ids)
            shift = view.layout.offsets
            names = ["xx" if i < view.layout.rows[0] else "en" for i in item.ids]
            ids = torch.tensor(
                [i - shift[n] + own.layout.offsets[n] for i, n in zip(ids, names, strict=True)]
            )
            logits = own.logits(ids[None])[0, item.silent - 1 : -1]
            expected += F.cross_entropy(logits, ids[item.silent :], reduction="sum")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
@pytest.mark.parametrize("trainable", [Trainable.embeddings, Trainable.full])
def test_only_the_tables_that_are_named_and_the_open_layers_move(
    family: str, tied: bool, trainable: Trainable, tmp_path: Path
) -> None:
    made, _ = hydra(family, tied)
    view = made.view("xx", ["en"], joint=True)
    made.tables["en"].frozen = True
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    batch = batch_of(encoder_of(view).encode([PAIR, PAIR]))
    config = TrainingConfig(steps=12, batch_size=2, sequence_length=32, lr=3e-2)
    report = train_model(
        view.model, None, Repeating(batch), config, trainable, CPU, work_dir=tmp_path, seed=0
    )
    moved = {n for n, p in made.named_parameters() if not torch.equal(before[n], p)}
    assert any(name.startswith("rows.xx") for name in moved)
    assert not any(name.startswith("rows.en") for name in moved)
    assert any(".layers." in name for name in moved) == (trainable is Trainable.full)
    assert report.curve[-1]["loss"] < report.curve[0]["loss"]


def test_sides_and_special_rows_of_several_tables() -> None:
    made, _ = hydra("llama", False)
    view = made.view("xx", ["en"])
    made.tables["en"].frozen = True
    config = TrainingConfig(sides=EmbeddingSides.output)
    report = apply_policy(view.model, Trainable.embeddings, config)
    assert report.trained_parameters == made.tables["xx"].head.weight.numel()
    with raises(ConfigError, "freeze_special_rows"):
        apply_policy(view.model, Trainable.embeddings, TrainingConfig(freeze_special_rows=True))
