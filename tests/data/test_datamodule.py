from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from franken.config.data import Directions, Mixture, Unit
from franken.config.training import TrainingConfig
from franken.data.datamodule import TextDataModule
from franken.errors import DataError
from tests.data.conftest import ListSource
from tests.faults import raises, unnamed

ALL = {"monolingual": 0.4, "documents": 0.3, "parallel": 0.1, "instructions": 0.2}
TRAINING = TrainingConfig(steps=12, batch_size=8, sequence_length=48, accumulate=2)


def module_of(
    source: ListSource,
    tokenizer: PreTrainedTokenizerFast,
    directory: Path,
    mixture: Mixture | None = None,
    training: TrainingConfig = TRAINING,
    **options: Any,
) -> TextDataModule:
    mixture = mixture or Mixture(ALL, source_share=0.308)
    return TextDataModule(
        source, mixture, tokenizer, training, 7, directory, "en", ["sw", "ru"], **options
    )


def test_batches_have_the_promised_form(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    batches = list(module_of(source, tokenizer, tmp_path).train_dataloader())
    assert len(batches) == 24
    for batch in batches:
        assert {tuple(value.shape) for value in batch.values()} == {(4, 48)}
        ids, labels, segments = batch["input_ids"], batch["labels"], batch["segment_ids"]
        learnt = labels != -100
        assert torch.equal(labels[learnt], ids[learnt])
        assert (segments[learnt] > 0).all()
        begins = torch.zeros_like(segments, dtype=torch.bool)
        begins[:, 0] = True
        begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
        assert (batch["position_ids"][begins] == 0).all()
        assert not learnt[begins].any()
        inner = ~begins & (segments > 0)
        steps = batch["position_ids"][:, 1:] - batch["position_ids"][:, :-1]
        assert (steps[inner[:, 1:]] == 1).all()


def test_same_seed_same_batches_in_a_fresh_directory(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    one = module_of(source, tokenizer, tmp_path / "one").train_dataloader()
    two = module_of(source, tokenizer, tmp_path / "two").train_dataloader()
    for left, right in zip(one, two, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_streams_are_tokenised_once(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    module_of(source, tokenizer, tmp_path).setup()
    read = source.read
    module_of(source, tokenizer, tmp_path).setup()
    assert source.read == read > 0
    damaged = next((tmp_path / "tokens").glob("train-*")) / "tokens.bin"
    damaged.write_bytes(damaged.read_bytes()[:-2])
    module_of(source, tokenizer, tmp_path).setup()
    assert source.read > read


def test_a_language_named_twice_is_one_stream(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    module = module_of(source, tokenizer, tmp_path)
    module.builder = replace(module.builder, languages=("en", "sw", "ru"))
    keys = module.builder.stream_keys()
    assert len(keys) == len(set(keys)) == 3 + 3 + 2 + 1


def test_resume_through_the_datamodule(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    module = module_of(source, tokenizer, tmp_path)
    stream = iter(module.train_dataloader())
    for _ in range(5):
        next(stream)
    state = module.state_dict()
    expected = list(stream)
    resumed = module_of(source, tokenizer, tmp_path)
    resumed.load_state_dict(state)  # before setup, as Lightning does
    found = list(resumed.train_dataloader())
    assert len(found) == 19
    for left, right in zip(found, expected, strict=True):
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_mixture_report_adds_up(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    report = module_of(source, tokenizer, tmp_path).mixture_report()
    assert sum(row["share"] for row in report["streams"]) == pytest.approx(1)
    assert report["roles"] == pytest.approx(ALL)
    assert report["budget_tokens"] == 12 * 8 * 48
    rows = {(row["role"], row["language"]): row for row in report["streams"]}
    english = rows["monolingual", "en"]
    assert english["share"] == pytest.approx(0.4 * 0.308)
    assert english["epochs"] == pytest.approx(english["share"] * 4608 / english["tokens"])


@pytest.mark.parametrize(
    ("directions", "second"),
    [
        (Directions.both, "sw : moja 1\nEnglish : one 1"),
        (Directions.to_target, "English : one 1\nsw : moja 1"),
    ],
)
def test_pairs_alternate_their_direction_unless_one_is_asked_for(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path,
    directions: Directions, second: str,
) -> None:  # fmt: skip
    mixture = Mixture({"parallel": 1.0}, languages=["en", "sw"], directions=directions)
    module = module_of(source, tokenizer, tmp_path, mixture)
    (key,) = module.builder.stream_keys()
    texts = list(module.builder.as_trained(key, source.pairs("sw")))
    assert texts[:2] == ["English : one 0\nsw : moja 0", second]


def test_equal_instances_come_out_of_the_loader(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    mixture = Mixture({"instructions": 1.0, "monolingual": 1.0}, unit=Unit.instances)
    training = TrainingConfig(steps=150, batch_size=16, sequence_length=256)
    module = module_of(source, tokenizer, tmp_path, mixture, training)
    instructions = texts = 0
    eos = tokenizer.eos_token_id
    for batch in module.train_dataloader():
        ends = (batch["input_ids"] == eos) & (batch["segment_ids"] > 0)
        for row in range(len(ends)):
            asked = tokenizer.convert_tokens_to_ids("?") in batch["input_ids"][row].tolist()
            if asked:
                instructions += int(ends[row].sum())
            else:
                texts += int(ends[row].sum())
    assert instructions / texts == pytest.approx(1, abs=0.1)


def test_too_few_data_are_warned_about(
    source: ListSource,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    mixture = Mixture({"monolingual": 1.0}, languages=["sw"])
    training = TrainingConfig(steps=100, batch_size=8, sequence_length=48)
    module_of(source, tokenizer, tmp_path, mixture, training).setup()
    assert not unnamed(caplog.text, "monolingual/sw", 22.5)


def test_the_share_of_a_role_that_is_not_there_goes_to_the_others(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    source.content = {key: rows for key, rows in source.content.items() if key[0] != "parallel"}
    mixture = Mixture({"monolingual": 0.2, "documents": 0.3, "parallel": 0.5})
    report = module_of(source, tokenizer, tmp_path, mixture).mixture_report()
    assert report["roles"] == pytest.approx({"monolingual": 0.4, "documents": 0.6})


def test_a_mixture_without_any_of_its_roles_is_refused(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    source.content = {key: rows for key, rows in source.content.items() if key[0] != "parallel"}
    with raises(DataError, "parallel", "sw, ru", "'lists'", "data.parallel.train"):
        module_of(source, tokenizer, tmp_path, Mixture({"parallel": 1.0})).setup()


def test_an_empty_stream_is_named(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    source.content["documents", "ru", "train"] = [""]
    with raises(DataError, "documents/ru", "data.documents.train", "'ru'"):
        module_of(source, tokenizer, tmp_path).setup()


def test_without_validation_text_there_are_no_validation_batches(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    module = module_of(source, tokenizer, tmp_path, Mixture({"instructions": 1.0}))
    assert module.val_dataloader() == []


class Recorder(LightningModule):
    """Trains one number and remembers the batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[Tensor] = []

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        self.seen.append(batch["input_ids"].clone())
        return self.weight * batch["input_ids"].float().mean()

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        self.log("valid", batch["labels"].float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(module: TextDataModule, directory: Path, steps: int, resume: Path | None) -> Recorder:
    recorder = Recorder()
    trainer = Trainer(
        max_steps=steps, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, accumulate_grad_batches=2, default_root_dir=directory,
        callbacks=[ModelCheckpoint(directory, every_n_train_steps=1, save_top_k=-1,
                                   filename="{step}")],
    )  # fmt: skip
    trainer.fit(recorder, datamodule=module, ckpt_path=resume, weights_only=False)
    return recorder


@pytest.mark.filterwarnings("ignore")
def test_lightning_resumes_with_the_next_batch(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    whole = trained(module_of(source, tokenizer, tmp_path), tmp_path / "whole", 12, None)
    assert len(whole.seen) == 24
    checkpoint = tmp_path / "whole" / "step=5.ckpt"
    resumed = trained(module_of(source, tokenizer, tmp_path), tmp_path / "resumed", 12, checkpoint)
    assert len(resumed.seen) == 14
    for left, right in zip(resumed.seen, whole.seen[10:], strict=True):
        assert torch.equal(left, right)
    assert torch.equal(resumed.weight, whole.weight)
