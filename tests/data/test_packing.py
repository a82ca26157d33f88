from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from franken.data.collate import collate
from franken.data.corpus import TokenCorpus, open_corpus, write_corpus
from franken.data.encoding import RecordEncoder
from franken.data.packing import Cursor, Packer, Piece
from franken.data.source import Instruction
from franken.errors import ArtifactError
from tests.faults import raises


def corpus_of(
    lengths: list[int], directory: Path, tokenizer: PreTrainedTokenizerFast
) -> TokenCorpus:
    """Records of so many tokens each, bos and eos included."""
    texts = [chr(97 + n % 26) * (length - 2) for n, length in enumerate(lengths)]
    encoder = RecordEncoder(tokenizer)
    return write_corpus(texts, encoder, directory / "corpus", max_tokens=10**9)


def test_corpus_holds_the_records(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = RecordEncoder(tokenizer)
    records = ["hello", "a", "world !"]
    corpus = write_corpus(records, encoder, tmp_path / "c", max_tokens=10**9)
    for number, text in enumerate(records):
        stretch = corpus.tokens[corpus.offsets[number] : corpus.offsets[number + 1]].tolist()
        assert stretch == [*encoder.bos, *encoder.ids([text])[0], *encoder.eos]
    assert corpus.meta["characters"] == 13
    assert corpus.tokens.dtype == np.uint16
    assert isinstance(corpus.tokens, np.memmap)


def test_reading_stops_where_training_needs_no_more(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "abcdefgh"

    corpus = write_corpus(endless(), RecordEncoder(tokenizer), tmp_path / "c", max_tokens=25)
    assert corpus.meta["capped"]
    assert corpus.size.records == 3
    assert read <= 1024


def test_silent_tokens_are_kept(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    records = [Instruction("abc", "d"), Instruction("a", "bc")]
    corpus = write_corpus(records, RecordEncoder(tokenizer), tmp_path / "c", max_tokens=10**9)
    assert corpus.silent.tolist() == [4, 2]


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.bin", "silent.bin", "corpus.json"])
def test_a_cut_file_is_noticed(
    name: str, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    corpus_of([5, 5], tmp_path, tokenizer)
    path = tmp_path / "corpus" / name
    path.write_bytes(path.read_bytes()[:-1])
    if name == "corpus.json":
        path.write_bytes(path.read_bytes()[:-5])
    with raises(ArtifactError, tmp_path / "corpus", "delimiter" if name == "corpus.json" else name):
        open_corpus(tmp_path / "corpus")


def test_the_first_of_two_processes_wins(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    first = corpus_of([5, 5], tmp_path, tokenizer)
    inode = (tmp_path / "corpus" / "tokens.bin").stat().st_ino
    second = corpus_of([5, 5], tmp_path, tokenizer)
    expected = second.tokens.tolist()
    assert (tmp_path / "corpus" / "tokens.bin").stat().st_ino == inode
    assert first.tokens.tolist() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    (tmp_path / "corpus" / "tokens.bin").unlink()
    assert corpus_of([5, 5], tmp_path, tokenizer).tokens.tolist() == expected


def test_a_failed_writing_leaves_nothing(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise OSError(28, "No space left on device")

    with raises(OSError, "[Errno 28]"):
        write_corpus(broken(), RecordEncoder(tokenizer), tmp_path / "c", max_tokens=10)
    assert list(tmp_path.iterdir()) == []


def sequences(packer: Packer, count: int) -> list[list[Piece]]:
    cursor, found = Cursor(), []
    for _ in range(count):
        pieces, cursor = packer.take(cursor)
        found.append(pieces)
    return found


def test_every_token_is_predicted_exactly_once_per_epoch(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    lengths = [3, 40, 7, 101, 16, 15, 17, 4]
    corpus = corpus_of(lengths, tmp_path, tokenizer)
    packer = Packer(corpus, length=16, seed=0, whole=False)
    predicted = np.zeros(corpus.size.tokens, dtype=int)
    cursor = Cursor()
    while cursor.position < len(lengths):
        pieces, cursor = packer.take(cursor)
        assert sum(piece.stop - piece.start for piece in pieces) >= 15
        for piece in pieces:
            record = int(np.searchsorted(corpus.offsets, piece.start, side="right")) - 1
            assert piece.stop <= corpus.offsets[record + 1]
            predicted[piece.start + 1 : piece.stop] += 1
    first = np.zeros(corpus.size.tokens, dtype=bool)
    first[corpus.offsets[:-1]] = True
    assert (predicted[first] == 0).all()
    assert predicted[~first].min() == 1  # the last sequence runs into the next epoch
    assert (predicted[~first] > 1).sum() <= 16


def test_whole_records_are_never_split(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = corpus_of([5, 6, 9, 4, 12, 16, 3], tmp_path, tokenizer)
    packer = Packer(corpus, length=16, seed=1, whole=True)
    starts = set(corpus.offsets[:-1].tolist())
    stops = set(corpus.offsets[1:].tolist())
    for pieces in sequences(packer, 20):
        assert pieces
        assert sum(piece.stop - piece.start for piece in pieces) <= 16
        assert {piece.start for piece in pieces} <= starts
        assert {piece.stop for piece in pieces} <= stops


def test_collate_by_hand() -> None:
    tokens = np.array([10, 11, 12, 13, 14, 15, 16], dtype=np.uint16)
    rows = [
        (tokens, [Piece(0, 3, 0), Piece(4, 7, 2)]),
        (tokens, [Piece(2, 5, 0)]),
    ]
    batch = collate(rows, length=8, pad=1)
    expected = {
        "input_ids": [[10, 11, 12, 14, 15, 16, 1, 1], [12, 13, 14, 1, 1, 1, 1, 1]],
        "labels": [
            [-100, 11, 12, -100, -100, 16, -100, -100],
            [-100, 13, 14, -100, -100, -100, -100, -100],
        ],
        "position_ids": [[0, 1, 2, 0, 1, 2, 0, 0], [0, 1, 2, 0, 0, 0, 0, 0]],
        "segment_ids": [[1, 1, 1, 2, 2, 2, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]],
    }
    assert {name: value.tolist() for name, value in batch.items()} == expected
    assert {value.dtype for value in batch.values()} == {torch.int64}
