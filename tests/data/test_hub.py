"""Hub layouts as local directories, read by ``datasets`` without a network."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from franken.config.data import FileData
from franken.config.eval_set import EvaluationSource
from franken.config.sources import FileFormat, Source
from franken.data import open_data
from franken.data.hub import read_hub
from franken.data.source import Pair
from franken.errors import DataError
from tests.faults import raises

pytestmark = pytest.mark.filterwarnings("ignore")
HUB = FileFormat.hub


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.utils.tqdm.disable", True, raising=False)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def write_card(directory: Path, configs: dict[str, dict[str, str]]) -> None:
    """The part of a data set card that names configs, as on the hub."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    (directory / "README.md").write_text("\n".join([*lines, "---", ""]))


@pytest.fixture
def opus(tmp_path: Path) -> Path:
    directory = tmp_path / "opus-100"
    for pair, other in (("en-ta", "ta"), ("am-en", "am")):
        rows = [{"translation": {"en": f"one {n}", other: f"{other} {n}"}} for n in range(3)]
        write_parquet(directory / pair / "train-00000-of-00001.parquet", rows)
    write_card(directory, {pair: {"train": f"{pair}/train-*"} for pair in ("en-ta", "am-en")})
    return directory


@pytest.fixture
def smol(tmp_path: Path) -> Path:
    directory = tmp_path / "smol"
    (directory / "gatitos").mkdir(parents=True)
    (directory / "smolsent").mkdir()
    word = {"sl": "en", "tl": "lg", "is_source_orig": True, "src": "water",
            "trgs": ["amazzi", "mazzi"]}  # fmt: skip
    sentence = {"sl": "en", "tl": "sw", "is_src_orig": True, "src": "Good.", "trg": "Nzuri."}
    (directory / "gatitos" / "en_lg.jsonl").write_text(json.dumps(word) + "\n")
    (directory / "smolsent" / "en_sw.jsonl").write_text(json.dumps(sentence) + "\n")
    write_card(
        directory,
        {
            "gatitos__en_lg": {"train": "gatitos/en_lg.jsonl"},
            "smolsent__en_sw": {"train": "smolsent/en_sw.jsonl"},
        },
    )
    return directory


@pytest.mark.parametrize("streaming", [False, True])
def test_parallel_sets_of_several_layouts(opus: Path, smol: Path, streaming: bool) -> None:
    config = FileData(
        languages=["am", "ta", "sw"], root=str(opus.parent), holdout_every=0,
        parallel={
            "train": Source(
                "{root}/opus-100", format=HUB, streaming=streaming, limit=2,
                paths={"sw": "{root}/smol"},
                configs={"am": "am-en", "ta": "en-ta", "sw": "smolsent__en_sw"},
                fields={"source": "translation.{source}|src", "target": "translation.{lang}|trg"},
            )
        },
    )  # fmt: skip
    source = open_data(config)
    source.validate()
    assert list(source.pairs("ta")) == [Pair("one 0", "ta 0"), Pair("one 1", "ta 1")]
    assert next(iter(source.pairs("am"))) == Pair("one 0", "am 0")
    assert list(source.pairs("sw")) == [Pair("Good.", "Nzuri.")]


def test_gatitos_entries_with_several_targets(smol: Path) -> None:
    lexicon = Source(
        str(smol), format=HUB, config="gatitos__en_{lang}",
        fields={"source": "src", "target": "trgs|trg"},
    )  # fmt: skip
    source = open_data(FileData(languages=["lg"], lexicon=lexicon))
    assert source.lexicon("lg") == [("water", "amazzi"), ("water", "mazzi")]


def test_evaluation_sets_with_configs_and_splits(tmp_path: Path) -> None:
    for code, word in (("eng_Latn", "one"), ("swh_Latn", "moja")):
        for split in ("train", "validation", "test"):
            rows = [{"index_id": 1, "category": "health", "text": f"{word} {split}"}]
            write_parquet(tmp_path / "sib200" / code / f"{split}.parquet", rows)
        rows = [{"id": n, "text": f"{word} {n}", "topic": "x"} for n in range(3)]
        write_parquet(tmp_path / "flores_plus" / f"{code}.parquet", rows)
    codes = {"en": "eng_Latn", "sw": "swh_Latn"}
    splits = ("train", "validation", "test")
    write_card(
        tmp_path / "sib200",
        {code: {split: f"{code}/{split}.parquet" for split in splits} for code in codes.values()},
    )
    write_card(
        tmp_path / "flores_plus", {code: {"devtest": f"{code}.parquet"} for code in codes.values()}
    )
    common: dict[str, Any] = {"format": HUB, "config": "{lang}", "codes": codes}
    config = FileData(
        languages=["sw"], root=str(tmp_path),
        evaluation={
            "topics": EvaluationSource(
                "{root}/sib200", schema="sib200", splits={"valid": "validation"}, **common
            ),
            "translation": EvaluationSource(
                "{root}/flores_plus", schema="flores", split="devtest", **common
            ),
        },
    )  # fmt: skip
    source = open_data(config)
    source.validate()
    assert source.task_rows("topics", "sw")[0]["text"] == "moja test"
    assert source.task_rows("topics", "en", "valid")[0]["text"] == "one validation"
    assert source.task_rows("translation", "sw")[2] == {
        "id": "2", "sentence_en": "one 2", "sentence_sw": "moja 2"
    }  # fmt: skip


def test_files_of_a_set_are_read_by_address(tmp_path: Path) -> None:
    (tmp_path / "mgsm_sw.tsv").write_text('Bei ni 5" ngapi?\t1,234\nnull\t3\n')
    rows = list(read_hub(f"file://{tmp_path}/mgsm_sw.tsv", columns=["question", "answer_number"]))
    assert [row.record["question"] for row in rows] == ['Bei ni 5" ngapi?', "null"]
    assert str(rows[0].record["answer_number"]) == "1,234"


def test_local_copies_enter_the_fingerprint_by_content(opus: Path) -> None:
    config = FileData(
        languages=["ta"], parallel={"train": Source(str(opus), format=HUB, config="en-{lang}")}
    )
    before = open_data(config).fingerprint()
    write_parquet(
        opus / "en-ta" / "train-00000-of-00001.parquet",
        [{"translation": {"en": "x", "ta": "y"}}],
    )
    assert open_data(config).fingerprint() != before


@pytest.mark.parametrize(
    ("path", "config", "split"),
    [("{opus}", "en-xx", "train"), ("{opus}", "en-ta", "test"), ("no/such-set", None, "train")],
)
def test_what_cannot_be_opened_is_named(
    opus: Path, path: str, config: str | None, split: str
) -> None:
    path = path.replace("{opus}", str(opus))
    with raises(DataError, path, split, "`path`") as caught:
        list(read_hub(path, config, split))
    assert path in str(caught.value)


def test_a_script_is_never_run(tmp_path: Path) -> None:
    directory = tmp_path / "scripted"
    directory.mkdir()
    marker = tmp_path / "ran"
    (directory / "scripted.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    with raises(DataError, directory, "scripted.py"):
        list(read_hub(str(directory)))
    assert not marker.exists()


def test_tags_that_are_stored_as_numbers_come_by_their_names(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    names = List(ClassLabel(names=["O", "B-PER"]))
    kinds = Features({"tokens": List(Value("string")), "ner_tags": names})
    made = Dataset.from_dict({"tokens": [["Ada", "sings"]], "ner_tags": [[1, 0]]}, features=kinds)
    made.to_parquet(tmp_path / "set" / "train.parquet")
    (row,) = read_hub(str(tmp_path / "set"))
    assert row.record == {"tokens": ["Ada", "sings"], "ner_tags": ["B-PER", "O"]}


def test_a_tag_that_is_withheld_gets_no_name(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List

    kinds = Features({"ner_tags": List(ClassLabel(names=["O", "B-PER"]))})
    made = Dataset.from_dict({"ner_tags": [[1, 0], [-1]]}, features=kinds)
    made.to_parquet(tmp_path / "set" / "train.parquet")
    with raises(DataError, "ner_tags", "row 2"):
        list(read_hub(str(tmp_path / "set")))
