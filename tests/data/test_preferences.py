"""The role ``preferences``: plain texts and the chat layouts of the hub, and what is wrong."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from franken.config.checks import collect_faults
from franken.config.data import FileData
from franken.config.sources import Source
from franken.data import Preference, open_data
from franken.errors import DataError
from tests.faults import raises

USER, SYSTEM = {"role": "user", "content": "Why?"}, {"role": "system", "content": "Be short."}
GOOD, BAD = {"role": "assistant", "content": "So."}, {"role": "assistant", "content": "No."}
EARLIER = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def config(tmp_path: Path, rows: list[Any], **options: Any) -> FileData:
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    (tmp_path / "pairs.jsonl").write_text(text)
    fields = options.pop("fields", {})
    source = Source("{root}/pairs.jsonl", fields=fields)
    return FileData(languages=[], root=str(tmp_path), holdout_every=0,
                    preferences={"train": source}, **options)  # fmt: skip


def read(tmp_path: Path, rows: list[Any], **options: Any) -> list[Preference]:
    return list(open_data(config(tmp_path, rows, **options)).preferences())


LAYOUTS = {
    "plain": {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
    "whole conversations": {"prompt": "Why?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "prompt as messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "no prompt": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "plain prompt": {"prompt": "Why?", "chosen": [GOOD], "rejected": [BAD]},
    "single messages": {
        "prompt": [{"from": "human", "value": "Why?"}],
        "chosen": {"from": "gpt", "value": "So."}, "rejected": {"from": "gpt", "value": "No."},
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_preference(layout, tmp_path) -> None:
    assert read(tmp_path, [LAYOUTS[layout]]) == [Preference("Why?\n", "So.", "No.")]


def test_parquet_holds_messages_too(tmp_path) -> None:
    table = pa.Table.from_pylist([LAYOUTS["whole conversations"], LAYOUTS["whole conversations"]])
    pyarrow.parquet.write_table(table, tmp_path / "pairs.parquet")
    source = Source("{root}/pairs.parquet")
    data = FileData(languages=[], root=str(tmp_path), holdout_every=2,
                    preferences={"train": source})  # fmt: skip
    opened = open_data(data)
    opened.validate()
    assert list(opened.preferences()) == [Preference("Why?\n", "So.", "No.")]
    assert list(opened.preferences("valid")) == [Preference("Why?\n", "So.", "No.")]


def test_conversations_of_several_turns_and_a_system_message(tmp_path) -> None:
    turns = [SYSTEM, *EARLIER, USER]
    row = {"chosen": [*turns, GOOD], "rejected": [*turns, BAD], "task": "chat"}
    template = {"prompt_template": "<u>{prompt}</u><a>", "turn_end": "</a>"}
    (found,) = read(tmp_path, [row], **template)
    assert found.prompt == "<u>Be short.\nHi</u><a>Hello</a><u>Why?</u><a>"
    assert (found.chosen, found.rejected, found.task) == ("So.", "No.", "chat")


def test_blank_answers_are_left_out_and_fields_can_be_named(tmp_path) -> None:
    rows = [
        {"q": "Why?", "good": "So.", "bad": ""}, {"q": "", "good": "So.", "bad": "No."},
        {"q": "Why?", "good": "So.", "bad": "No."},
    ]  # fmt: skip
    fields = {"prompt": "q", "chosen": "good", "rejected": "bad"}
    assert read(tmp_path, rows, fields=fields) == [Preference("Why?\n", "So.", "No.")]


def test_pairs_are_kept_by_the_difference_of_their_scores(tmp_path) -> None:
    rows = [
        {**LAYOUTS["plain"], "prompt": str(gap), "score_chosen": 0.5 + gap, "score_rejected": 0.5}
        for gap in (0.0, 0.0625, 0.25)
    ]
    kept = read(tmp_path, rows, preference_gap=[0.01, 0.1])
    assert [pair.prompt for pair in kept] == ["0.0625\n"]
    assert len(read(tmp_path, rows)) == 3
    with raises(
        DataError, "pairs.jsonl:1", "'chosen_score|score_chosen'", "prompt, chosen, rejected"
    ):
        read(tmp_path, [LAYOUTS["plain"]], preference_gap=[0.01, 0.1])


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"prompt": "p", "chosen": "a"}, ["'rejected'", "prompt, chosen"]),
        ({"prompt": "p", "chosen": 3, "rejected": "b"}, ["'chosen'", "int"]),
        ({"prompt": "p", "chosen": ["a"], "rejected": ["b"]}, ["'chosen'", "'a'", "content"]),
        ({"prompt": "p", "chosen": [{"role": "judge", "content": "x"}], "rejected": [BAD]},
         ["'chosen'", "'judge'", "user, human"]),
        ({"chosen": "a", "rejected": "b"}, ["prompt", "fields"]),
        ({"chosen": [USER, GOOD], "rejected": [SYSTEM, USER, BAD]}, ["chosen", "rejected"]),
        ({"chosen": [GOOD, USER], "rejected": [USER, BAD]}, ["'chosen'", "user"]),
        ({"chosen": [USER, GOOD], "rejected": []}, ["'rejected'", "nothing"]),
        ({"chosen": [*EARLIER, GOOD], "rejected": [*EARLIER, BAD]}, ["assistant"]),
        ("{broken\n", ["JSON", "column 2"]),
    ],
)  # fmt: skip
def test_faulty_records_are_refused_early_with_their_line(row, names, tmp_path) -> None:
    data = config(tmp_path, [row])
    with raises(DataError, "pairs.jsonl:1", *names):
        open_data(data).validate()


def test_an_empty_or_missing_file_is_refused(tmp_path) -> None:
    with raises(DataError, "data.preferences.train", tmp_path / "pairs.jsonl", "'en'"):
        open_data(config(tmp_path, [])).validate()
    with raises(DataError, "data.preferences.train", tmp_path / "pairs.jsonl", "'en'"):
        open_data(config(tmp_path, [{**LAYOUTS["plain"], "rejected": " "}])).validate()
    (tmp_path / "pairs.jsonl").unlink()
    data = config(tmp_path / "..", [])
    (tmp_path / ".." / "pairs.jsonl").unlink()
    with raises(
        DataError,
        "data.preferences.train",
        tmp_path / ".." / "pairs.jsonl",
        "'en'",
    ):
        open_data(data).validate()


def test_preferences_enter_the_fingerprint_and_options_are_checked(tmp_path) -> None:
    first = open_data(config(tmp_path, [LAYOUTS["plain"]])).fingerprint()
    assert open_data(config(tmp_path, [LAYOUTS["plain prompt"]])).fingerprint() != first
    data = config(tmp_path, [LAYOUTS["plain"]], preference_gap=[0.1])
    data.preferences["test"] = data.preferences["train"]
    faults = {fault.key: fault.message for fault in collect_faults(data)}
    assert set(faults) == {"preference_gap", "preferences.test"}


def test_the_embedded_world_has_none_and_says_what_to_do() -> None:
    from franken.config.data import MicroworldData

    source = open_data(MicroworldData())
    assert not source.has("preferences")
    with raises(DataError, "data=microworld", "recipe=graft", "data.preferences"):
        source.preferences()
