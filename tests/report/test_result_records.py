"""Reading and writing of ``results.jsonl``."""

import json

import pytest

from franken.errors import DataError
from franken.report.records import append_records, parse_records, read_records, write_records


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
    ("change", "message"),
    [
        ({"value": None}, "value must be a finite number, found None"),
        ({"value": "0.5"}, "value must be a finite number, found '0.5'"),
        ({"value": 71.0}, r"fraction in 0..1, found 71.0"),
        ({"stderr": -0.1}, "stderr must not be negative"),
        ({"n": 0}, "n must be at least 1"),
        ({"n": 2.5}, "n must be a whole number, found 2.5"),
        ({"seed": "0"}, "seed must be a whole number"),
        ({"lang": False}, "lang must be a text, found False"),
    ],
)
def test_a_bad_value_is_named_with_file_and_line(grid, tmp_path, change, message):
    path = tmp_path / "results.jsonl"
    bad = {**json.loads(grid[1].to_line()), **change}
    path.write_text(grid[0].to_line() + "\n\n" + json.dumps(bad) + "\n")
    with pytest.raises(DataError, match=f"results.jsonl:3: .*{message}"):
        read_records(path)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"experiment": "a"', ":1: not a line of JSON .*cut off"),
        (b"[1, 2]", ":1: a record is a JSON object, found list"),
        (b'{"experiment": "a"}', ":1: the record lacks recipe, model"),
        (b"\xff\xfe", ":1: not UTF-8 at byte 0"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, payload, message):
    path = tmp_path / "results.jsonl"
    path.write_bytes(payload)
    with pytest.raises(DataError, match=message):
        read_records(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"results.jsonl: cannot be read"):
        read_records(tmp_path)


def test_values_that_json_cannot_hold_are_not_written(make):
    with pytest.raises(ValueError):
        make("base", "en", float("nan")).to_line()
