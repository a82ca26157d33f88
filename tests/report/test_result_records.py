"""Reading and writing of ``results.jsonl``."""

import json

import pytest

from franken.errors import DataError
from franken.report.records import append_records, parse_records, read_records, write_records
from tests.faults import raises


def test_records_survive_a_round_trip_with_their_extras(grid, tmp_path):
    path = tmp_path / "results.jsonl"
    write_records(path, grid[:3])
    append_records(path, grid[3:])
    assert read_records(path) == grid
    assert read_records(tmp_path) == grid
    assert read_records(path)[0].extra["chance"] == 0.25


def test_unknown_fields_and_a_nested_extra_are_kept(grid):
    content = {**json.loads(grid[0].to_line()), "note": "x", "extra": {"signature": "s"}}
    (record,) = parse_records([content])
    assert record.extra["note"] == "x"
    assert record.extra["signature"] == "s"
    assert "extra" not in record.extra


def test_a_missing_standard_error_is_none(grid):
    content = json.loads(grid[0].to_line())
    del content["stderr"]
    assert parse_records([content])[0].stderr is None


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"value": None}, ["value", None]),
        ({"value": "0.5"}, ["value", "'0.5'"]),
        ({"value": 71.0}, ["acc", "0..1", 71.0]),
        ({"stderr": -0.1}, ["stderr", -0.1]),
        ({"n": 0}, ["n", 1, 0]),
        ({"n": 2.5}, ["n", 2.5]),
        ({"seed": "0"}, ["seed", "'0'"]),
        ({"lang": False}, ["lang", False]),
    ],
)
def test_a_bad_value_is_named_with_file_and_line(grid, tmp_path, change, names):
    path = tmp_path / "results.jsonl"
    bad = {**json.loads(grid[1].to_line()), **change}
    path.write_text(grid[0].to_line() + "\n\n" + json.dumps(bad) + "\n")
    with raises(DataError, "results.jsonl:3", *names):
        read_records(path)


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (b'{"experiment": "a"', ["JSON", "column 19"]),
        (b"[1, 2]", ["JSON", "list"]),
        (b'{"experiment": "a"}', ["recipe, model, variant"]),
        (b"\xff\xfe", ["UTF-8", "byte 0"]),
    ],
)
def test_a_damaged_line_is_named(tmp_path, payload, names):
    path = tmp_path / "results.jsonl"
    path.write_bytes(payload)
    with raises(DataError, "results.jsonl:1", *names):
        read_records(path)


def test_a_missing_file_is_named(tmp_path):
    with raises(DataError, tmp_path / "results.jsonl"):
        read_records(tmp_path)


def test_values_that_json_cannot_hold_are_not_written(make):
    with pytest.raises(ValueError):
        make("base", "en", float("nan")).to_line()
