"""The step ``align``: every language, and clear words where text is missing."""

import logging
from pathlib import Path
from types import SimpleNamespace

from franken.alignment import load_tables
from franken.alignment.files import FilesAlignment
from franken.alignment.gold import GoldAlignment
from franken.alignment.ibm1 import Ibm1Alignment
from franken.config.data import FileData, MicroworldData
from franken.config.sources import Source
from franken.errors import DataError
from franken.steps.align import AlignStep
from tests.faults import raises


def run(data, alignment, folder: Path) -> dict:
    folder.mkdir(exist_ok=True)
    step = AlignStep(step="align", alignment=alignment, data=data)
    return step.run(SimpleNamespace(directory=folder))  # type: ignore[arg-type]


def files(tmp_path: Path, **texts: str) -> FileData:
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    source = Source(path="{root}/en.txt", target_path="{root}/{lang}.txt", languages=[*texts, "sw"])
    return FileData(
        root=str(tmp_path), languages=["sw"], parallel={"train": source}, holdout_every=0
    )


def test_every_target_language_gets_a_table_close_to_gold(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    world = MicroworldData(languages=["id", "ka"], parallel=400, documents=10, evaluation=2)
    summary = run(world, Ibm1Alignment(), tmp_path / "ibm1")
    run(world, GoldAlignment(), tmp_path / "gold")
    made, gold = (load_tables(tmp_path / name) for name in ("ibm1", "gold"))
    assert sorted(made) == sorted(summary["pairs"]) == ["id", "ka"]
    for language, table in made.items():
        known = {
            (gold[language].source[i], gold[language].target[j])
            for i, j in gold[language].pairs.tolist()
        }
        right = sum(
            count
            for (i, j), count in zip(table.pairs.tolist(), table.links.tolist(), strict=True)
            if (table.source[i], table.target[j]) in known
        )
        assert right / table.links.sum() > 0.85, language


def test_missing_parallel_text_is_an_error_that_names_language_and_role(tmp_path):
    data = files(tmp_path, en="a")
    data.parallel = {}
    with raises(
        DataError, "alignment=ibm1", "parallel", "'sw'", "data.parallel.train", "alignment=files"
    ):
        run(data, Ibm1Alignment(), tmp_path / "out")


def test_parallel_text_without_words_is_an_error_that_names_the_language(tmp_path):
    data = files(tmp_path, en=" \n \n", sw=" \n \n")
    with raises(DataError, "'sw'", "parallel", "train"):
        run(data, Ibm1Alignment(), tmp_path / "out")


def test_sides_of_unequal_length_are_an_error_that_names_the_files(tmp_path):
    data = files(tmp_path, en="a\nb\nc\n", sw="x\n")
    with raises(DataError, "data.parallel.train", tmp_path / "sw.txt", 1, tmp_path / "en.txt"):
        run(data, Ibm1Alignment(), tmp_path / "out")


def test_files_need_no_parallel_text(tmp_path):
    (tmp_path / "table.tsv").write_text("house\tnyumba\t3\n")
    data = files(tmp_path, en="a")
    data.parallel = {}
    run(data, FilesAlignment(table=str(tmp_path / "table.tsv")), tmp_path / "out")
    assert load_tables(tmp_path / "out")["sw"].links.tolist() == [3]
