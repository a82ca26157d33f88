"""The teacher's tokens for a student's batch, and which chunks both hold.

A batch holds packed documents or stretches of them. The bytes of each stretch are cut by the
teacher's tokenizer; control tokens go over by role or name, and are chunks of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.decoding import stop_ids
from franken.distillation.common.chunks import NONE, common_chunks
from franken.tokenizer.pieces import Reading, encode_pieces, overlap_of

Batch = dict[str, Any]
_IGNORED = -100
_BLANKS = (b" ", b"\t", b"\n", b"\r")


@dataclass
class _Stretch:
    """One document's tokens within a row, on both sides."""

    chunks: np.ndarray
    teacher_ids: list[int]
    teacher_chunks: np.ndarray


class Pairing:
    """Makes batches that both models can read."""

    def __init__(
        self, student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase, *,
        predicted: bool = True,
    ) -> None:  # fmt: skip
        """Take both tokenizers apart.

        ``predicted``: leave out the first chunk of a document, which nothing predicts.
        """
        self._teacher, self._predicted = teacher, predicted
        self.ends, self.writable = stop_ids(student), len(student)
        """Ids that end a text of the student's, and the first id that it never writes."""
        new, old = Reading.of(student), Reading.of(teacher)
        self._bytes, self._teacher_bytes = new.bytes, old.bytes
        partners = overlap_of(old, new)
        self._control = {
            row: partner for row, partner in partners.items() if new.bytes[row] is None
        }
        self.shared = torch.tensor(list(partners), dtype=torch.int64)
        self.teacher_shared = torch.tensor(list(partners.values()), dtype=torch.int64)
        """``(n,)`` each: ids of the tokens of equal bytes, or of one role, in the same order."""
        self.begins, self.teacher_begins = (
            torch.tensor([
                row for row, data in enumerate(side.bytes)
                if row in side.special or (data is not None and data[:1] in _BLANKS)
            ]) for side in (new, old)
        )  # fmt: skip
        """Ids of the tokens that end the word before them, of either side."""

    def pair(self, batch: Batch) -> Batch:
        """The batch with ``chunks`` and the teacher's side.

        Adds, all int64 and row by row: ``chunks`` ``(B, L)`` the chunk of each token, and
        ``teacher_ids``, ``teacher_segments``, ``teacher_positions``, ``teacher_chunks``
        ``(B, M)``. A chunk counts where every token of it, on both sides, is predicted from
        tokens before it and carries loss; numbers go on within a document and skip one wherever
        two chunks do not follow each other; others are ``NONE``.
        """
        ids, segments = batch["input_ids"].tolist(), batch["segment_ids"].tolist()
        silent = (batch["labels"] == _IGNORED).tolist()
        rows = [list(self._stretches(*row)) for row in zip(ids, segments, silent, strict=True)]
        width = max([1, *(sum(len(s.teacher_ids) for s in row) for row in rows)])
        shape = len(rows), width
        chunks = torch.full(batch["input_ids"].shape, NONE)
        teacher = {
            "teacher_ids": torch.zeros(shape, dtype=torch.int64),
            "teacher_segments": torch.zeros(shape, dtype=torch.int64),
            "teacher_positions": torch.zeros(shape, dtype=torch.int64),
            "teacher_chunks": torch.full(shape, NONE),
        }
        for at, row in enumerate(rows):
            first = place = start = 0
            for number, stretch in enumerate(row, 1):
                count, size = len(stretch.chunks), len(stretch.teacher_ids)
                mine, theirs = _numbered(stretch, first)
                first = max([first, *(mine + 2)])
                chunks[at, place : place + count] = torch.from_numpy(mine)
                span = slice(start, start + size)
                teacher["teacher_ids"][at, span] = torch.tensor(stretch.teacher_ids)
                teacher["teacher_segments"][at, span] = number
                teacher["teacher_positions"][at, span] = torch.arange(size)
                teacher["teacher_chunks"][at, span] = torch.from_numpy(theirs)
                place, start = place + count, start + size
        return {**batch, "chunks": chunks, **teacher}

    def _stretches(
        self, ids: Sequence[int], segments: Sequence[int], silent: Sequence[bool]
    ) -> Iterator[_Stretch]:
        """The documents of a row, in order; padding is the last of them and has no teacher."""
        start = 0
        for segment, run in groupby(segments):
            stop = start + len(list(run))
            if segment == 0:
                yield _Stretch(np.full(stop - start, NONE), [], np.full(0, NONE))
            else:
                yield self._stretch(ids[start:stop], silent[start:stop])
            start = stop

    def _stretch(self, ids: Sequence[int], silent: Sequence[bool]) -> _Stretch:
        mine: list[np.ndarray] = []
        theirs: list[np.ndarray] = []
        teacher_ids: list[int] = []
        first = 0
        for kind, run in groupby(ids, key=self._kind):
            tokens = list(run)
            found, left, right = self._run(kind, tokens)
            mine.append(np.where(left == NONE, NONE, left + first))
            theirs.append(np.where(right == NONE, NONE, right + first))
            first = max([first, *(mine[-1] + 1)])
            teacher_ids += found
        left, right = (np.concatenate([np.empty(0, np.int64), *side]) for side in (mine, theirs))
        lost = set(left[np.array(silent)].tolist())
        if self._predicted:
            lost |= {int(side[0]) for side in (left, right) if len(side)}  # nothing is before them
        return _Stretch(_without(left, lost), teacher_ids, _without(right, lost))

    def _kind(self, token: int) -> str:
        if token < len(self._bytes) and self._bytes[token] is not None:
            return "text"
        return "control" if token in self._control else "unknown"

    def _run(self, kind: str, ids: list[int]) -> tuple[list[int], np.ndarray, np.ndarray]:
        """The teacher's ids of a run of tokens of one kind, and the chunks of both sides."""
        if kind == "unknown":
            return [], np.full(len(ids), NONE), np.full(0, NONE)
        if kind == "control":
            numbers = np.arange(len(ids), dtype=np.int64)
            return [self._control[token] for token in ids], numbers, numbers.copy()
        pieces = [self._bytes[token] or b"" for token in ids]
        found = encode_pieces(self._teacher, [b"".join(pieces)])[0]
        parts = [self._teacher_bytes[token] for token in found]
        if b"".join(part or b"" for part in parts) != b"".join(pieces):
            return found, np.full(len(ids), NONE), np.full(len(found), NONE)  # it rewrites text
        return found, *common_chunks(_ends(pieces), _ends([part or b"" for part in parts]))


def _ends(pieces: Sequence[bytes]) -> np.ndarray:
    return np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)))


def _without(chunks: np.ndarray, lost: set[int]) -> np.ndarray:
    return np.where(np.isin(chunks, list(lost)), NONE, chunks) if lost else chunks


def _numbered(stretch: _Stretch, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Chunk numbers from ``first`` on."""
    return tuple(  # type: ignore[return-value]
        np.where(side == NONE, NONE, side + first)
        for side in (stretch.chunks, stretch.teacher_chunks)
    )


def flat_chunks(chunks: Tensor, other: Tensor) -> tuple[Tensor, Tensor, int]:
    """Numbers of chunks that are distinct over the rows of a batch, and a bound of them.

    One more than a row's highest lies between two rows, so that their chunks do not touch.
    """
    width = int(torch.maximum(chunks.amax(), other.amax())) + 2
    rows = torch.arange(len(chunks), device=chunks.device)[:, None] * width
    flat = [torch.where(side < 0, side, side + rows) for side in (chunks, other)]
    return flat[0], flat[1], width * len(chunks)
