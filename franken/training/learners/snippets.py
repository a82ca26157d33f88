"""Snippets of text in two segmentations: the source's, and the same with new tokens merged."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.tokenizer.spans import SpanBatch, SpanReader
from franken.training.batches import padded_rows

_BATCH_TEXTS = 256


@dataclass(frozen=True)
class Snippet:
    """Source tokens, and which runs of them are one new token."""

    ids: list[int]
    merges: list[tuple[int, int, int]]
    """First place, one past the last, new token id; ascending, without overlap."""


@dataclass(frozen=True)
class SnippetBatch:
    """Teacher and student side of some snippets, padded on the right."""

    teacher: Tensor
    """``(B, L)`` source ids."""
    teacher_segments: Tensor
    """``(B, L)``; 1, and 0 for padding: never told from an id, since text may hold that id."""
    student: Tensor
    """``(B, M)`` source ids; where ``new`` is true, places in the list of new tokens."""
    student_segments: Tensor
    new: Tensor
    """``(B, M)`` bool."""
    last: Tensor
    """``(B, M)``: teacher's place of the last piece of each student token."""

    def to(self, device: torch.device) -> "SnippetBatch":
        """On a device."""
        return SnippetBatch(*(tensor.to(device) for tensor in vars(self).values()))


def mine(
    source: PreTrainedTokenizerBase,
    target: PreTrainedTokenizerBase,
    wanted: Iterable[int],
    texts: Iterable[str],
    *,
    snippet_tokens: int,
    per_token: int,
) -> tuple[list[Snippet], Counter[int]]:
    """Collect snippets, in the order of the text, until every new token has enough.

    A new token counts where the target tokenizer itself uses it and both its ends are ends of
    source tokens; elsewhere no run of source tokens says the same.

    Args:
        source: tokenizer of the teacher.
        target: tokenizer with the new tokens.
        wanted: new token ids.
        texts: records; read no further than needed.
        snippet_tokens: source tokens of a snippet; records are cut into pieces of this length.
        per_token: snippets that a token needs.

    Returns:
        The snippets, and how many of them hold each token.
    """
    tokens = np.array(sorted(set(wanted)), dtype=np.int64)
    count: Counter[int] = Counter()
    chosen: list[Snippet] = []
    for batch in SpanReader(source, target).read(texts, batch_texts=_BATCH_TEXTS):
        for snippet in _cut(batch, tokens, snippet_tokens):
            merged = {token for *_, token in snippet.merges}
            if any(count[token] < per_token for token in merged):
                chosen.append(snippet)
                count.update(merged)
        if len(count) == len(tokens) and min(count.values(), default=0) >= per_token:
            break
    return chosen, count


def _cut(batch: SpanBatch, wanted: np.ndarray, length: int) -> Iterator[Snippet]:
    """Pieces of the batch that hold a new token."""
    tokens = np.flatnonzero(np.isin(batch.target.ids, wanted))
    first, stop = batch.cover(tokens)
    fits = (batch.source.starts[first] == batch.target.starts[tokens]) & (
        batch.source.ends[stop - 1] == batch.target.ends[tokens]
    )
    tokens, first, stop = tokens[fits], first[fits], stop[fits]
    begins = np.searchsorted(batch.source.starts, batch.edges[:-1])
    text = np.searchsorted(begins, first, side="right") - 1
    ends = np.append(begins[1:], len(batch.source.ids))
    low = begins[text] + (first - begins[text]) // length * length
    high = np.minimum(low + length, ends[text])
    inside = stop <= high
    places = zip(
        low[inside].tolist(), high[inside].tolist(), first[inside].tolist(),
        stop[inside].tolist(), batch.target.ids[tokens[inside]].tolist(), strict=True,
    )  # fmt: skip
    current: tuple[int, int] | None = None
    merges: list[tuple[int, int, int]] = []
    for start, end, begin, past, token in places:
        if current != (start, end):
            if current is not None:
                yield Snippet(batch.source.ids[slice(*current)].tolist(), merges)
            current, merges = (start, end), []
        merges.append((begin - start, past - start, token))
    if current is not None:
        yield Snippet(batch.source.ids[slice(*current)].tolist(), merges)


def collate(snippets: list[Snippet], number: dict[int, int], bos: int | None) -> SnippetBatch:
    """Pad snippets to a batch.

    Args:
        snippets: at least one.
        number: new token id -> its place among the trained rows; other merges are left undone.
        bos: put before each snippet, where the source has one.
    """
    prefix = [] if bos is None else [bos]
    teachers, students, news, lasts = [], [], [], []
    for snippet in snippets:
        student, new, last, place = list(prefix), [False] * len(prefix), [*range(len(prefix))], 0
        merges = [merge for merge in snippet.merges if merge[2] in number]
        for first, stop, token in [*merges, (len(snippet.ids), len(snippet.ids), -1)]:
            for index in range(place, first):
                student.append(snippet.ids[index])
                new.append(False)
                last.append(index + len(prefix))
            if token >= 0:
                student.append(number[token])
                new.append(True)
                last.append(stop - 1 + len(prefix))
            place = stop
        teachers.append([*prefix, *snippet.ids])
        students.append(student)
        news.append(new)
        lasts.append(last)
    teacher, teacher_segments = padded_rows(teachers)
    student_ids, student_segments = padded_rows(students)
    return SnippetBatch(
        teacher, teacher_segments, student_ids, student_segments,
        padded_rows(news)[0].bool(), padded_rows(lasts)[0],
    )  # fmt: skip
