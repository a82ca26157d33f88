"""The step ``helper``: what it writes, and what its key depends on."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import BertConfig, BertModel

from franken.config.data import FileData
from franken.config.sources import Source
from franken.config.trainer import TrainerConfig
from franken.errors import DataError
from franken.files import read_json
from franken.helper_model.checkpoint import CheckpointHelper
from franken.helper_model.trained import TrainedHelper
from franken.parts.table import load_table
from franken.parts.tokenizer_files import save_tokenizer
from franken.steps.common.keys import step_key
from franken.steps.helper import HelperStep
from tests.faults import faults_of, raises
from tests.helper_model.test_checkpoint import BERT, TARGET, save
from tests.init_method.tiny import SWAHILI

TRAINED = TrainedHelper(hidden_size=16, layers=1, heads=2, steps=3, batch_size=2)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "en.txt").write_text("the house")
    (tmp_path / "text" / "sw.txt").write_text("\n".join(SWAHILI))
    return FileData(
        languages=["sw"],
        monolingual={"train": Source(path=str(tmp_path / "text" / "{lang}.txt"))},
    )


@pytest.fixture
def context(tmp_path):
    save_tokenizer(TARGET, tmp_path / "vocab" / "tokenizer")
    (tmp_path / "made").mkdir()
    return SimpleNamespace(
        directory=tmp_path / "made", seed=0, trainer=TrainerConfig(threads=1),
        inputs={"tokenizer": SimpleNamespace(path=tmp_path / "vocab")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save(BertModel(BertConfig(**BERT)), tmp_path_factory.mktemp("bert"))


def key_of(step: HelperStep, seed: int = 0) -> str:
    config = SimpleNamespace(seed=seed, trainer=TrainerConfig())
    return step_key(step, {}, config).key


def test_a_trained_helper_becomes_a_table_that_loads(data, context) -> None:
    summary = HelperStep(helper=TRAINED, data=data).run(context)
    table = load_table(context.directory / "table")
    assert (table.rows, table.hidden_size, table.tied) == (len(TARGET), 16, True)
    assert table.lineage.startswith("helper:")
    report = read_json(context.directory / "report.json")
    assert report["steps"] == 3
    assert report["tokens"]["sw"] > 64
    assert summary["width"] == 16


def test_a_checkpoint_becomes_the_same_table(data, context, checkpoint) -> None:
    HelperStep(helper=CheckpointHelper(path=str(checkpoint)), data=data).run(context)
    expected = BertModel.from_pretrained(checkpoint).embeddings.word_embeddings.weight
    assert torch.equal(load_table(context.directory / "table").input, expected)


def test_the_key_of_a_checkpoint_follows_its_files_and_not_the_data(
    data, checkpoint, tmp_path
) -> None:
    step = HelperStep(helper=CheckpointHelper(path=str(checkpoint)), data=data)
    before = key_of(step)
    assert key_of(replace(step, data=replace(data, languages=["sw", "am"]))) == before
    moved = tmp_path / "elsewhere"
    moved.symlink_to(checkpoint)
    assert key_of(replace(step, helper=CheckpointHelper(path=str(moved)))) == before
    other = save(BertModel(BertConfig(**{**BERT, "initializer_range": 0.5})), tmp_path / "other")
    assert key_of(replace(step, helper=CheckpointHelper(path=str(other)))) != before


def test_the_key_of_a_trained_helper_follows_options_data_and_seed(data, tmp_path) -> None:
    step = HelperStep(helper=TRAINED, data=data)
    keys = {
        key_of(step),
        key_of(step, seed=1),
        key_of(replace(step, helper=replace(TRAINED, lr=1))),
    }
    (tmp_path / "text" / "sw.txt").write_text("maji")
    keys.add(key_of(step))
    assert len(keys) == 4


def test_a_path_that_is_no_checkpoint_is_refused_before_work(data) -> None:
    with raises(DataError, "path='./nowhere'"):
        key_of(HelperStep(helper=CheckpointHelper(path="./nowhere"), data=data))


def test_faults_name_the_option() -> None:
    assert [key for key, _ in CheckpointHelper().faults()] == ["path"]
    assert list(faults_of(TrainedHelper, hidden_size=10, heads=4)) == ["hidden_size"]
    assert list(faults_of(TrainedHelper, mask_share=0.0, steps=0)) == [
        "steps", "mask_share",
    ]  # fmt: skip
    assert not list(TrainedHelper().faults())
