"""Loggers by name; nothing secret on the disk."""

import csv
import json
import os
import struct
import warnings
from pathlib import Path

import pytest
import wandb

from franken.config.training import Trainable, TrainingConfig
from franken.logger.common.secrets import is_secret
from franken.logger.csv import CsvLogger
from franken.logger.none import NoLogger
from franken.logger.wandb import WandbLogger, is_online
from franken.training.loggers import close_loggers, log_tables, make_loggers
from franken.training.runner import train_model
from tests.training.tiny import CPU, TinyData, tiny_model

FAKE = {
    "WANDB_API_KEY": "0123456789abcdef" * 2 + "fakekeyx",
    "HF_TOKEN": "hf_fakefakefakefakefakefakefakefake12",
    "GITHUB_TOKEN": "ghp_fakefakefakefakefakefakefakefake3456",
    "AWS_SECRET_ACCESS_KEY": "fakefakefake/fakefakefake+fakefake7890",
    "OPENAI_API_KEY": "sk-fakefakefakefakefakefake",
    "MY_PASSWORD": "correct-horse-battery-staple",
}
SETTINGS = TrainingConfig(steps=6, batch_size=4, sequence_length=16, validate_every=3)


def train(loggers: list, work_dir: Path) -> None:
    train_model(
        tiny_model(), None, TinyData(SETTINGS), SETTINGS, Trainable.embeddings, CPU,
        work_dir=work_dir, seed=0, loggers=loggers,
    )  # fmt: skip


def test_none_is_no_logger(tmp_path):
    assert make_loggers(NoLogger(), tmp_path / "run") == []
    assert not (tmp_path / "run").exists()


def test_csv_holds_the_curves_by_optimiser_step(tmp_path):
    train(make_loggers(CsvLogger(), tmp_path / "run", config={"lr": 1}), tmp_path / "work")
    with open(tmp_path / "run" / "metrics.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["step"] for row in rows if row["train/loss"]] == ["1", "2", "3", "4", "5", "6"]
    assert [row["step"] for row in rows if row["valid/loss"]] == ["0", "3", "6"]


def test_a_second_try_in_the_same_place_is_no_cause_for_alarm(tmp_path):
    (tmp_path / "metrics.csv").write_text("step\n1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_loggers(CsvLogger(), tmp_path, config={"lr": 1})
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("mode", "environ", "online"),
    [
        ("auto", {}, False),
        ("auto", {"WANDB_API_KEY": "x"}, True),
        ("auto", {"WANDB_API_KEY": "x", "WANDB_MODE": "offline"}, False),
        ("offline", {"WANDB_API_KEY": "x"}, False),
        ("online", {}, True),
    ],
)
def test_wandb_is_offline_unless_logged_in(mode, environ, online, tmp_path):
    assert is_online(mode, {"NETRC": str(tmp_path / "netrc"), **environ}) is online


def test_a_netrc_entry_is_a_login(tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password x\n")
    assert is_online("auto", {"NETRC": str(netrc)})
    assert not is_online("auto", {"NETRC": str(netrc), "WANDB_BASE_URL": "https://other.example"})


def test_names_of_secrets_are_told_from_names_of_settings():
    assert all(is_secret(name) for name in FAKE)
    assert not any(is_secret(n) for n in ("tokenizer", "loss_chunk_tokens", "keys", "PATH"))


def test_wandb_offline_writes_curves_and_tables_and_no_secret(tmp_path, monkeypatch):
    for name, value in FAKE.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    config = {"training": {"lr": 0.1}, "hub": {"api_key": FAKE["OPENAI_API_KEY"]}}
    choice = WandbLogger(mode="offline", tags=["test"])
    loggers = make_loggers(
        choice, tmp_path / "run", group="main", job_type="adapt", run_id="a" * 64, config=config
    )
    log_tables(loggers, [{"task": "topics", "value": 0.5}, {"task": "maths", "n": 3}])
    train(loggers, tmp_path / "work")
    assert {k: v for k, v in os.environ.items() if k != "WANDB_SERVICE"} == before
    wandb.teardown()  # its helper process has written all it will write
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in files)
    assert b"train/loss" in written
    assert b"adapt" in written
    assert b"topics" in written
    assert not [name for name, value in FAKE.items() if value.encode() in written]
    second = make_loggers(choice, tmp_path / "second", job_type="repair", run_id="b" * 64)
    assert second[0].experiment.id == "b" * 64  # type: ignore[attr-defined]
    close_loggers(second)


SCORES = [
    {"task": "bits", "lang": "en", "value": 1.5, "stderr": None, "extra": {"opening": "<bos>"}},
    {"task": "topics", "lang": "ru", "value": 0.5, "stderr": 0.03,
     "extra": {"chance": 0.25, "set_size": None, "chat": True, "places": [1, 2]}},
]  # fmt: skip


def test_scores_with_nested_fields_become_a_table_that_can_be_read_back(tmp_path):
    """As a real suite writes them: fields that only some tasks have, gaps, nested ones."""
    loggers = make_loggers(WandbLogger(mode="offline"), tmp_path / "run", job_type="results")
    log_tables(loggers, SCORES)
    close_loggers(loggers)
    wandb.teardown()
    (file,) = (tmp_path / "run").rglob("*.table.json")
    table = json.loads(file.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["task"] for row in rows] == ["bits", "topics"]
    assert [row["extra.chance"] for row in rows] == [None, 0.25]
    assert [row["stderr"] for row in rows] == [None, 0.03]
    assert rows[1]["extra.places"] == "[1, 2]"
    assert "extra" not in table["columns"]
    logged = {(i.key, *i.nested_key): json.loads(i.value_json) for i in history_items(tmp_path)}
    told = {mark[-1]: value for mark, value in logged.items() if "results" in mark}
    assert (told["nrows"], told["ncols"]) == (2, len(table["columns"]))


def history_items(directory: Path) -> list:
    """What was logged, from the file that W&B would send (LevelDB's log, seven bytes in)."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = directory.rglob("*.wandb")
    content, at, items, data = file.read_bytes(), 7, [], b""
    while at + 7 <= len(content):
        if (left := 32768 - at % 32768) < 7:  # too little for a header: the next block begins
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", content[at : at + 7])
        data += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(data)
            items += record.history.item
            data = b""
    return items


def test_a_logger_never_fails_a_finished_run(tmp_path, monkeypatch, caplog):
    def broken(*arguments, **options):
        raise TypeError("no such column")

    loggers = make_loggers(WandbLogger(mode="offline"), tmp_path / "run", job_type="results")
    monkeypatch.setattr(wandb, "Table", broken)
    monkeypatch.setattr(type(loggers[0]), "save", broken)
    log_tables(loggers, SCORES)
    close_loggers(loggers)
    assert caplog.text.count("no such column") == 2
    loggers[0].experiment.finish()  # type: ignore[attr-defined]
