"""Franken's modules under Lightning alone, and Lightning's own things under franken."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from franken.config.checks import collect_faults
from franken.config.data import Mixture
from franken.config.trainer import SET_BY_FRANKEN, TrainerConfig
from franken.config.training import Trainable, TrainingConfig
from franken.data.datamodule import TextDataModule
from franken.errors import ConfigError, DataError
from franken.library.given import gather
from franken.library.memory_data import MemoryData
from franken.training import CausalModule, train_model
from franken.training.batches import completed
from franken.training.lightning_options import (
    PASSED_ON,
    lightning_options,
    own_callbacks,
    own_datamodule,
)
from tests.faults import faults_of, raises
from tests.init_method.texts import ENGLISH
from tests.parts.tiny import tiny_model, tiny_tokenizer
from tests.training.tiny import CPU, TinyData
from tests.training.tiny import tiny_model as small_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*The `srun` command is available",
    "ignore:.*does not have many workers", "ignore:.*in eval mode at the start",
    "ignore:.*no `val_dataloader`", "ignore:Total length of `list` across ranks is zero",
    "ignore:.*`max_epochs` was not set",
)  # fmt: skip
"""What Lightning advises where the runner does not ask for silence."""

SCHEDULE = TrainingConfig(
    steps=3, batch_size=2, sequence_length=16, lr=1e-2, warmup=0.0, validation_batches=1
)


def text_module(work_dir: Path, training: TrainingConfig = SCHEDULE) -> TextDataModule:
    data = MemoryData(gather({"en": ENGLISH * 4}))
    return TextDataModule(
        data, Mixture({"monolingual": 1.0}), tiny_tokenizer(size=96), training, 0, work_dir,
        "en", [],
    )  # fmt: skip


def quiet(tmp_path: Path, **more: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=tmp_path, **more,
    )  # fmt: skip


def test_module_and_data_module_fit_under_a_plain_trainer(tmp_path: Path) -> None:
    model = tiny_model("llama", rows=96)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    module = CausalModule.for_training(model, "embeddings", SCHEDULE)
    trainer = quiet(tmp_path)
    trainer.fit(module, datamodule=text_module(tmp_path))
    assert trainer.global_step == SCHEDULE.steps  # the schedule ends the run
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"model.embed_tokens.weight"}
    assert float(trainer.callback_metrics["train/loss"]) > 0
    (saved,) = tmp_path.rglob("*.ckpt")
    assert set(torch.load(saved, weights_only=False)["state_dict"]) == {
        "model.model.embed_tokens.weight"
    }


def test_one_batch_a_step_gives_the_weights_of_the_runner(tmp_path: Path) -> None:
    """Without accumulation the mean of a batch is the mean of a step."""
    ours, theirs = tiny_model("llama", rows=96), tiny_model("llama", rows=96)
    train_model(
        ours, None, text_module(tmp_path / "a"), SCHEDULE, Trainable.full, CPU,
        work_dir=tmp_path / "a", seed=0,
    )  # fmt: skip
    module = CausalModule.for_training(theirs, Trainable.full, SCHEDULE)
    quiet(tmp_path, enable_checkpointing=False).fit(module, datamodule=text_module(tmp_path / "b"))
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


class OwnData(pl.LightningDataModule):
    """What a user may have: plain batches of token ids."""

    def __init__(self, rows: int, tokenizer: Any = None, seed: int = -1) -> None:
        super().__init__()
        self.rows, self.seed = rows, seed

    def train_dataloader(self) -> Any:
        ids = torch.arange(8).repeat(self.rows, 1) + 3
        return torch.utils.data.DataLoader(
            [{"input_ids": row, "attention_mask": (row < 9).long()} for row in ids],
            batch_size=2,
        )

    def val_dataloader(self) -> Any:
        return []


def test_a_users_own_data_module_takes_the_place_of_frankens(tmp_path: Path) -> None:
    phase = TrainingConfig(
        steps=2, batch_size=2, sequence_length=8,
        datamodule={"_target_": f"{__name__}.OwnData", "rows": 4},
    )  # fmt: skip
    module = own_datamodule(phase, "training", seed=7, work_dir=tmp_path)
    assert (module.rows, module.seed) == (4, 7)  # given what it takes, and nothing else
    report = train_model(
        tiny_model("llama", rows=96), None, module, phase, Trainable.full, CPU,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert report.steps == 2
    assert own_datamodule(TrainingConfig(), "training") is None
    for target, found in (
        ("no.such.Thing", "no.such.Thing"),
        ("pathlib.Path", "train_dataloader"),
    ):
        with raises(ConfigError, "training.datamodule", target, found):
            own_datamodule(TrainingConfig(datamodule={"_target_": target}), "training")
    assert "datamodule" in faults_of(TrainingConfig, datamodule={"rows": 1})


def test_a_plain_batch_is_filled_in() -> None:
    ids = torch.tensor([[5, 6, 7, 0]])
    batch = completed({"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 0]])})
    assert batch["segment_ids"].tolist() == [[1, 1, 1, 0]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3]]
    assert batch["labels"].tolist() == [[5, 6, 7, -100]]
    assert completed({"input_ids": ids})["segment_ids"].tolist() == [[1, 1, 1, 1]]
    with raises(DataError, "input_ids", "ids"):
        completed({"ids": ids})


# --- Lightning's arguments


def test_every_argument_of_lightnings_trainer_is_an_option_or_says_what_is() -> None:
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    beside = {"name", "threads", "progress", "workers", "compile", "attention", "offload"}
    ours = set(TrainerConfig.__dataclass_fields__) - beside
    assert ours | set(SET_BY_FRANKEN) == known
    assert not ours & set(SET_BY_FRANKEN)
    assert set(PASSED_ON) < ours


def test_defaults_are_lightnings_own_or_franken_says_otherwise(tmp_path: Path) -> None:
    signature = inspect.signature(pl.Trainer.__init__).parameters
    chosen = lightning_options(TrainerConfig(), tmp_path, 10)
    differ = {name for name, value in chosen.items() if signature[name].default != value}
    assert differ == {
        "default_root_dir", "log_every_n_steps", "enable_progress_bar", "enable_model_summary"
    }  # fmt: skip


class Counting(pl.Callback):
    seen: int = 0

    def on_train_batch_end(self, *arguments: Any) -> None:
        type(self).seen += 1


def test_callbacks_of_the_user_are_called(tmp_path: Path) -> None:
    phase = TrainingConfig(steps=2, batch_size=4, sequence_length=16)
    trainer = TrainerConfig(
        threads=1, progress=False, callbacks={"count": {"_target_": f"{__name__}.Counting"}}
    )
    Counting.seen = 0
    train_model(
        small_model(), None, TinyData(phase), phase, Trainable.embeddings, trainer,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert Counting.seen == 2


def test_a_callback_without_a_class_is_a_fault() -> None:
    faulty = TrainerConfig(callbacks={"mine": {"monitor": "x"}})
    assert [fault.key for fault in collect_faults(faulty)] == ["callbacks.mine"]
    with raises(ConfigError, "callbacks.mine", "no.such.Callback"):
        own_callbacks(TrainerConfig(callbacks={"mine": {"_target_": "no.such.Callback"}}))
