import gzip
import json
from pathlib import Path

import pytest

from franken.config.sources import FileFormat
from franken.data.readers import read_file
from franken.errors import DataError
from tests.faults import raises


def records(path: Path, **options: object) -> list[dict[str, object]]:
    return [row.record for row in read_file(path, **options)]  # type: ignore[arg-type]


def test_json_lines_plain_and_packed(tmp_path: Path) -> None:
    payload = '\ufeff{"text": "ሰላም"}\n\n{"text": "b"}\r\n'.encode()
    (tmp_path / "a.jsonl").write_bytes(payload)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(payload))
    for name in ("a.jsonl", "a.jsonl.gz"):
        assert records(tmp_path / name) == [{"text": "ሰላም"}, {"text": "b"}]
    assert [row.where for row in read_file(tmp_path / "a.jsonl")][1].endswith("a.jsonl:3")


def test_json_arrays_and_data_objects(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"x": 1}]')
    (tmp_path / "b.json").write_text('{"data": [{"x": 2}]}')
    assert records(tmp_path / "a.json") == [{"x": 1}]
    assert records(tmp_path / "b.json") == [{"x": 2}]


def test_squad_nesting_gives_rows_as_on_the_hub(tmp_path: Path) -> None:
    question = {"id": "q", "question": "?", "answers": [{"text": "a", "answer_start": 3}]}
    articles = [{"title": "T", "paragraphs": [{"context": "C", "qas": [question, question]}]}]
    (tmp_path / "a.json").write_text(json.dumps({"version": "1.1", "data": articles}))
    row = {"id": "q", "context": "C", "question": "?",
           "answers": {"text": ["a"], "answer_start": [3]}}  # fmt: skip
    assert records(tmp_path / "a.json") == [row, row]
    del question["question"]
    (tmp_path / "a.json").write_text(json.dumps({"data": articles}))
    with raises(DataError, tmp_path / "a.json", "'question'"):
        records(tmp_path / "a.json")


def test_tables_with_a_header_follow_csv_quoting(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"say ""hi"""\n2\tplain\n')
    assert records(tmp_path / "a.tsv") == [
        {"id": "1", "text": 'say "hi"'},
        {"id": "2", "text": "plain"},
    ]
    (tmp_path / "a.csv").write_text('id,text\n1,"two\nlines"\n')
    assert records(tmp_path / "a.csv") == [{"id": "1", "text": "two\nlines"}]


def test_headerless_tables_keep_bare_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('5" pipe\tbomba\nnull\ttupu\n')
    found = records(tmp_path / "a.tsv", columns=["source", "target"])
    assert found == [
        {"source": '5" pipe', "target": "bomba"},
        {"source": "null", "target": "tupu"},
    ]


def test_text_keeps_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.devtest").write_text("one\n\nthree")
    found = records(tmp_path / "a.devtest", layout=FileFormat.text)
    assert [record["text"] for record in found] == ["one", "", "three"]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": ["a", "b"], "n": [1, 2]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert records(tmp_path / "a.parquet") == [{"text": "a", "n": 1}, {"text": "b", "n": 2}]


FAULTS = {
    "latin1.jsonl": (b'{"text": "a"}\n{"text": "caf\xe9"}\n', ["latin1.jsonl:2", 14, "0xe9"]),
    "latin1.txt": (b"ok\nok\n\xff\n", ["latin1.txt:3", 1, "0xff"]),
    "latin1.tsv": (b"a\tb\nx\t\xe9\n", ["latin1.tsv:2", 3, "0xe9"]),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', ["broken.jsonl:2", "JSON", "column 10"]),
    "list.jsonl": (b"[1]\n", ["list.jsonl:1", "list"]),
    "number.json": (b"3", ["number.json", "JSON", "'data'"]),
    "ragged.tsv": (b"a\tb\n1\t2\n1\t2\t3\n", ["ragged.tsv:3", 3, 2, "a, b"]),
    "quotes.csv": (b'a,b\n"1,2\n', ["quotes.csv:2", "`format: tsv`"]),
    "cut.jsonl.gz": (gzip.compress(b'{"a": 1}\n' * 9)[:-9], ["cut.jsonl.gz", "gzip"]),
    "plain.jsonl.gz": (b'{"a": 1}\n', ["plain.jsonl.gz", "gzip"]),
    "junk.parquet": (b"junk", ["junk.parquet", "Parquet"]),
    "what.bin": (b"x", ["what.bin", "'.bin'", "`format`", "jsonl"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_name_file_and_line(name: str, tmp_path: Path) -> None:
    payload, names = FAULTS[name]
    (tmp_path / name).write_bytes(payload)
    with raises(DataError, *names):
        list(read_file(tmp_path / name))


def test_a_missing_file_names_similar_ones(tmp_path: Path) -> None:
    (tmp_path / "sw.train.jsonl").write_text("{}")
    with raises(DataError, tmp_path / "sw.trian.jsonl", "sw.train.jsonl"):
        list(read_file(tmp_path / "sw.trian.jsonl"))


def test_reading_is_lazy(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "a"})] * 3
    (tmp_path / "a.jsonl").write_bytes("\n".join(lines).encode() + b"\n\xff")
    stream = read_file(tmp_path / "a.jsonl")
    assert [next(stream).record["text"] for _ in range(3)] == ["a"] * 3
    with raises(DataError, "a.jsonl:4", 1, "0xff"):
        next(stream)
