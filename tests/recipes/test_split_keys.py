"""What of the data enters the key of a step that trains on one mixture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from franken.config.data import FileData, Mixture, Source
from franken.config.root import Config
from franken.router.sequence import SequenceRouter
from franken.steps.common.key_parts import split_of
from franken.steps.route import RouteStep


@pytest.fixture
def data(tmp_path: Path) -> FileData:
    for lang in ("en", "sw", "ta"):
        line = json.dumps({"text": f"a line of {lang}", "prompt": "?", "response": lang})
        (tmp_path / f"{lang}.jsonl").write_text(line + "\n")
    splits = {"train": Source(path="{root}/{lang}.jsonl")}
    told = {"train": Source(path="{root}/{source}.jsonl")}
    return FileData(
        root=str(tmp_path), languages=["sw"], monolingual=splits, instructions=told,
        mixtures={
            "instructions": Mixture(shares={"instructions": 1.0}),
            "english": Mixture(shares={"monolingual": 1.0}, languages=["en"]),
            "adaptation": Mixture(shares={"monolingual": 1.0}),
        },
    )  # fmt: skip


@pytest.mark.parametrize("split", ["instructions", "english"])
def test_what_is_in_the_source_language_serves_every_target(data: FileData, split: str) -> None:
    before = split_of(data, split)
    assert split_of(replace(data, languages=["ta"]), split) == before
    (Path(data.root) / "en.jsonl").write_text(
        json.dumps({"text": "another", "prompt": "?", "response": "!"}) + "\n"
    )
    assert split_of(data, split)["text"] != before["text"]


def test_text_of_the_targets_goes_by_the_target(data: FileData) -> None:
    before = split_of(data, "adaptation")
    assert before["languages"] == ["en", "sw"]
    assert split_of(replace(data, languages=["ta"]), "adaptation") != before


def test_a_router_goes_by_the_texts_that_it_is_shown(data: FileData) -> None:
    def key(share: float, text: str) -> object:
        (Path(data.root) / "sw.jsonl").write_text(json.dumps({"text": text}) + "\n")
        step = RouteStep(
            model="m", packs={"a": "p"}, router=SequenceRouter(), data=data,
            split="instructions", language_share=share,
        )  # fmt: skip
        return step.key(Config())

    assert key(0.0, "one") == key(0.0, "two")
    assert key(0.5, "one") != key(0.5, "two")
