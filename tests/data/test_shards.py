"""Shards of a stream: no bit depends on their size or on processes, and done ones are kept."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from franken.data import shards
from franken.data.corpus import TokenCorpus, write_corpus
from franken.data.encoding import Encoded
from franken.data.source import Instruction
from franken.errors import ArtifactError
from tests.faults import raises

TEXTS = ["abc" * (n % 7) for n in range(200)]
"""Every seventh is empty."""


@dataclass
class Letters:
    """A token per letter; texts that hold ``fatal`` raise, or end the process."""

    fatal: str = "?"
    ends: bool = False
    id_count: int = 100
    seen: list[str] = field(default_factory=list)

    def encode(self, records: Sequence[str], max_length: int | None = None) -> list[Encoded | None]:
        self.seen += records
        if any(self.fatal in text for text in records):
            if self.ends:
                os._exit(1)
            raise RuntimeError("fatal")
        made = [np.array([ord(c) - 97 for c in text[:max_length]]) for text in records]
        return [
            Encoded(ids, 1, len(text), len(ids) < len(text)) if text else None
            for ids, text in zip(made, records, strict=True)
        ]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 60)


def written(folder: Path, texts: list[str] = TEXTS, encoder: Letters | None = None, **options):  # type: ignore[no-untyped-def]
    options = {"max_tokens": 10**9, **options}
    return write_corpus(texts, encoder or Letters(), folder / "corpus", **options)  # type: ignore[arg-type]


def content(corpus: TokenCorpus) -> list[object]:
    return [corpus.tokens.tolist(), corpus.offsets.tolist(), corpus.silent.tolist(), corpus.meta]


@pytest.mark.usefixtures("small_shards")
def test_a_corpus_of_many_shards_holds_the_stream_in_order(tmp_path):
    corpus = written(tmp_path, max_length=10)
    kept = [text[:10] for text in TEXTS if text]
    assert corpus.tokens.tolist() == [ord(c) - 97 for text in kept for c in text]
    assert np.diff(corpus.offsets).tolist() == [len(text) for text in kept]
    assert corpus.meta["characters"] == sum(map(len, TEXTS))
    assert corpus.meta["skipped"] == sum(not text for text in TEXTS)
    assert corpus.meta["truncated"] == sum(len(text) > 10 for text in TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


@pytest.mark.parametrize("max_tokens", [1, 60, 61, 500, 10**9])
def test_neither_shards_nor_processes_nor_a_cap_between_them_change_a_bit(
    tmp_path, monkeypatch, max_tokens
):
    whole = written(tmp_path / "whole", max_tokens=max_tokens)
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 60)
    parts = written(tmp_path / "parts", max_tokens=max_tokens)
    several = parts
    if max_tokens == 500:  # once: processes take a second to start
        several = written(tmp_path / "several", max_tokens=max_tokens, workers=2)
    for other in (parts, several):
        assert content(other)[:3] == content(whole)[:3]
        assert {**other.meta, "skipped": 0} == {**whole.meta, "skipped": 0}


@pytest.mark.usefixtures("small_shards")
def test_shards_that_were_done_are_not_done_again(tmp_path):
    texts = [*TEXTS[:100], "the end?"]
    with raises(RuntimeError, "fatal"):
        written(tmp_path, texts)
    parts = tmp_path / ".corpus.parts"
    assert len(list(parts.iterdir())) > 3
    encoder = Letters(fatal="!")
    corpus = written(tmp_path, [*TEXTS[:100], "the end"], encoder)
    assert len(encoder.seen) < 30
    assert content(corpus) == content(written(tmp_path / "a", [*TEXTS[:100], "the end"]))
    assert not parts.exists()


@pytest.mark.usefixtures("small_shards")
def test_a_part_of_other_text_is_not_taken_for_this_one(tmp_path):
    with pytest.raises(RuntimeError):
        written(tmp_path, [*TEXTS[:100], "?"])
    others = ["zz" + text for text in TEXTS[:100]]
    assert content(written(tmp_path, others)) == content(written(tmp_path / "alone", others))


def test_where_a_record_ends_and_its_fields_do_is_part_of_what_a_shard_is():
    records = [
        ["ab", "c"],
        ["a", "bc"],
        ["abc"],
        [Instruction("a", "bc")],
        [Instruction("ab", "c")],
    ]
    assert len({shards._digest(record) for record in records}) == len(records)


@pytest.mark.usefixtures("small_shards")
def test_a_process_that_is_killed_is_an_error_and_what_is_done_stays(tmp_path):
    with raises(ArtifactError, tmp_path, "trainer.workers"):
        written(tmp_path, [*TEXTS, "?"], Letters(ends=True), workers=2)
    assert list((tmp_path / ".corpus.parts").glob("[0-9]*.safetensors"))
