"""``optional`` sources: what is not there is left out, what is there counts."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from franken.cli.check import to_config
from franken.cli.paths import config_dir
from franken.config.data import FileData
from franken.config.register import register_schemas
from franken.data import open_data
from franken.data.files import FileSource
from franken.errors import DataError
from tests.faults import raises


def local_data(root: Path, *overrides: str) -> FileData:
    """``data=local`` as a command line composes it."""
    register_schemas()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        composed = compose(
            "config", ["data=local", f"data.root={root}", "data.languages=[sw]", *overrides]
        )
    data = to_config(composed).data
    assert isinstance(data, FileData)
    return data


def opened(data: FileData) -> FileSource:
    source = open_data(data)
    assert isinstance(source, FileSource)
    return source


def write(path: Path, *records: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Only ``mono/`` and ``parallel/``."""
    for lang in ("en", "sw"):
        write(tmp_path / f"mono/{lang}.train.jsonl", *({"text": f"{lang} {n}"} for n in range(60)))
    write(tmp_path / "parallel/en-sw.train.jsonl", {"source": "one", "target": "moja"})
    return tmp_path


def test_the_roles_that_are_not_there_are_left_out(root: Path) -> None:
    source = opened(local_data(root))
    source.validate()
    offered = {role for role in ("monolingual", "documents", "parallel", "lexicon", "instructions",
                                 "preferences") if source.has(role)}  # fmt: skip
    assert offered == {"monolingual", "parallel"}
    assert source.tasks() == []
    assert list(source.texts("monolingual", "sw", "valid")) == ["sw 49"]
    assert list(source.absent()["data.documents.train"]) == ["en", "sw"]


def test_a_role_in_one_language_alone(root: Path) -> None:
    write(root / "documents/sw.train.jsonl", {"text": "Hadithi."})
    source = opened(local_data(root))
    source.validate()
    assert source.has("documents", "sw")
    assert not source.has("documents", "en")
    with raises(DataError, "data.documents.train", root / "documents/en.train.jsonl", "'en'"):
        source.texts("documents", "en").__next__()


def test_fields_of_the_file_are_set_without_a_plus(root: Path) -> None:
    held_out = root / "held_out.jsonl"
    write(held_out, {"text": "nje"})
    for side, text in (("en", "one"), ("sw", "moja")):
        (root / f"x.{side}").write_text(text + "\n")
    data = local_data(
        root,
        f"data.monolingual.valid.path='{held_out.parent}/held_{{lang}}.jsonl'",
        "data.parallel.train.path='{root}/x.{source}'",
        "data.parallel.train.target_path='{root}/x.{lang}'",
        "data.parallel.train.format=text",
        "data.lexicon.columns=null",
        "data.lexicon.fields.source=expr1",
    )
    held_out.rename(root / "held_sw.jsonl")
    source = opened(data)
    assert list(source.texts("monolingual", "sw", "valid")) == ["nje"]
    assert next(iter(source.pairs("sw"))).target == "moja"
    # English has no such file, so every 50th record stands for it.
    assert list(source.texts("monolingual", "en", "valid")) == ["en 49"]


def test_a_root_without_any_file_is_refused(tmp_path: Path) -> None:
    with raises(DataError, "data.root", tmp_path / "typo"):
        opened(local_data(tmp_path / "typo")).validate()


def test_a_file_that_is_not_optional_is_still_missed(root: Path) -> None:
    data = local_data(root, "data.documents.train.optional=false")
    with raises(DataError, "data.documents.train", root / "documents/en.train.jsonl"):
        opened(data).validate()
