"""The small commands refuse what they cannot do before any work: one line, exit code 2."""

import errno
import importlib
import json
import os
from pathlib import Path

import pytest

from franken.commands import answered
from franken.errors import DataError
from franken.logger.wandb import WandbLogger
from tests.faults import faults_of, raises, unnamed


def run(command: str, *arguments: object) -> int:
    module = importlib.import_module(f"franken.{command}")
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"franken.{command}.__main__")
    code = module.main([str(argument) for argument in arguments])
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("vocab trim A t -o O", "--size", "-3"),
        ("vocab trim A t -o O", "--min-count", "0"),
        ("vocab trim A t -o O", "--pad-to-multiple", "0"),
        ("vocab extend A t -o O", "--added", "-8"),
        ("vocab compare A", "--lines", "none"),
        ("draft build A B -o O", "--steps", "-1"),
        ("draft build A B -o O", "--lr", "nan"),
        ("draft measure A B", "--gamma", "0"),
        ("draft measure A B", "--prompts", "0"),
        ("draft measure A B", "--new-tokens", "1.5"),
        ("layer_swap A B -o O", "--bottom", "-4"),
        ("layer_swap A B -o O", "--transition", "-1"),
        ("roundtrip A B", "--tolerance", "-1"),
        ("explain compare A B", "--top", "0"),
    ],
)
def test_a_number_that_means_nothing_is_refused_where_it_is_typed(capsys, command, option, value):
    name, *arguments = command.split()
    with raises(SystemExit, 2):
        run(name, *arguments, f"{option}={value}")
    assert not unnamed(capsys.readouterr().err, option, repr(value))


def test_a_wrong_request_is_one_line_and_two(capsys):
    def lacking() -> int:
        raise DataError("texts= is empty")

    def denied() -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/far/away")

    assert answered(lambda: 1) == 1
    for command, named in ((lacking, "texts="), (denied, "/far/away")):
        assert answered(command) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1
        assert not unnamed(said, named)


@pytest.mark.parametrize(
    "command",
    ["draft build MODEL MODEL", "vocab extend MODEL TEXT", "vocab trim MODEL TEXT"],
)
def test_an_output_that_cannot_be_made_is_refused_before_models_are_read(tmp_path, capsys, command):
    text, full = tmp_path / "text.txt", tmp_path / "full"
    text.write_text("some text\n")
    full.mkdir()
    (full / "precious").write_text("x")
    given = {"MODEL": tmp_path / "no_model", "TEXT": text}
    name, *arguments = command.split()
    for out in (full, text / "below_a_file"):
        code = run(name, *[given.get(word, word) for word in arguments], "-o", out)
        assert code == 2
        assert not unnamed(capsys.readouterr().err, out)
    assert (full / "precious").read_text() == "x"


@pytest.mark.parametrize("content", ["{", "[1]", '{"<a>": 3}', None])
def test_wrong_overrides_of_a_draft_are_refused_with_their_file(tmp_path, capsys, content):
    path = tmp_path / "overrides.json"
    if content is not None:
        path.write_text(content)
    assert run("draft", "build", "A", "B", "-o", tmp_path / "out", "--override", path) == 2
    assert not unnamed(capsys.readouterr().err, path)


def test_text_of_a_tuning_is_read_before_the_models(tmp_path, capsys):
    for name, content in (("empty.txt", ""), ("absent.txt", None)):
        if content is not None:
            (tmp_path / name).write_text(content)
        arguments = ["-o", tmp_path / "out", "--tune", tmp_path / name]
        assert run("draft", "build", tmp_path / "no_model", "B", *arguments) == 2
        assert not unnamed(capsys.readouterr().err, tmp_path / name)


@pytest.mark.parametrize(("name", "near"), [("gema2", "gemma2"), ("./nowhere", "directory")])
def test_neither_a_directory_nor_a_type_is_a_wrong_request(capsys, name, near):
    assert run("families", name) == 2
    assert not unnamed(capsys.readouterr().err, repr(name), near)


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("inspect nowhere", "nowhere"),
        ("report nowhere", "nowhere"),
        ("roundtrip nowhere nowhere", "nowhere"),
        ("roundtrip nowhere nowhere --text absent.txt", "absent.txt"),
        ("explain nowhere x", "nowhere"),
        ("explain compare nowhere nowhere", "nowhere"),
        ("layer_swap nowhere nowhere -o out", "nowhere"),
        ("store --root nowhere list", "nowhere"),
        ("skillpack inspect nowhere", "nowhere"),
        ("publish nowhere me/model --dry-run", "nowhere"),
        ("vocab compare A=nowhere", "nowhere"),
        ("inference.xtransplant nowhere", "nowhere"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys, command, named):
    monkeypatch.chdir(tmp_path)
    # a bare name may be the hub's, which is asked for most of a minute where no network is
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name, *arguments = command.split()
    assert run(name, *arguments) == 2
    assert not unnamed(capsys.readouterr().err, named)
    assert list(tmp_path.iterdir()) == []


def test_a_logger_that_is_not_installed_is_a_fault(monkeypatch):
    assert faults_of(WandbLogger) == {}
    monkeypatch.setattr("franken.logger.wandb.find_spec", lambda name: None)
    assert not unnamed(json.dumps(faults_of(WandbLogger)), "name", "wandb", "logger=csv")


def test_an_output_that_is_free_is_taken(tmp_path: Path) -> None:
    from franken.files import check_new_directory

    check_new_directory(tmp_path / "a" / "b")
    (tmp_path / "empty").mkdir()
    check_new_directory(tmp_path / "empty")
