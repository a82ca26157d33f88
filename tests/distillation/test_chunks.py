"""Chunks of equal bytes, by brute force, over random pairs of tokenizers and texts."""

import itertools
import random

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.distillation.common.chunks import NONE, common_chunks
from franken.distillation.common.pairing import Pairing, flat_chunks
from franken.tokenizer.families import train_tokenizer
from franken.tokenizer.pieces import canonical_bytes, encode_piece
from tests.init_method.texts import ENGLISH, SWAHILI

KINDS = list(TokenizerKind)
TEXTS = [
    "the house is near the water", " nyumba iko karibu na maji baridi", "ቤት ውሃ",
    "naïve \U0001f469\u200d\U0001f467 e\u0301", "a", " ", "\tmaji\n\nBOOK  42", "nyumba" * 6,
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers():
    """Three kinds, each of two sizes on other text."""
    return [
        train_tokenizer(kind, lines, size)
        for kind in KINDS
        for lines, size in ((ENGLISH, 420), ([*ENGLISH, *SWAHILI], 500))
    ]


def slow_chunks(left, right):
    """Every pair of runs of tokens that hold the same bytes, none of which can be cut further."""
    shared = {sum(left[:i]) for i in range(1, len(left) + 1)}
    shared &= {sum(right[:i]) for i in range(1, len(right) + 1)}
    found = []
    for lengths in (left, right):
        numbers, end = [], 0
        for length in lengths:
            end += length
            numbers.append(sum(1 for boundary in shared if boundary < end) if shared else NONE)
        found.append(numbers)
    return found


def test_chunks_of_random_cuts_are_those_of_the_definition():
    draws = random.Random(0)
    for _ in range(200):
        total = draws.randint(1, 12)
        sides = []
        for _ in range(2):
            cuts = sorted(draws.sample(range(1, total), draws.randint(0, total - 1)))
            sides.append([b - a for a, b in itertools.pairwise([0, *cuts, total])])
        found = common_chunks(*(np.cumsum(side) for side in sides))
        assert [side.tolist() for side in found] == slow_chunks(*sides)


def test_a_tail_that_only_one_side_has_is_in_no_chunk():
    left, right = common_chunks(np.array([2, 4, 6]), np.array([4]))
    assert left.tolist() == [0, 0, NONE]
    assert right.tolist() == [0]


def batch_of(tokenizer, texts, *, width=96, eos=True):
    """Texts packed end to end into rows, one segment each, with eos."""
    rows, segments = [], []
    for group in (texts[at : at + 2] for at in range(0, len(texts), 2)):
        ids, marks = [], []
        for number, text in enumerate(group, 1):
            piece = encode_piece(tokenizer, text.encode())
            piece += [tokenizer.eos_token_id] if eos else []
            ids += piece
            marks += [number] * len(piece)
        rows.append((ids + [0] * width)[:width])
        segments.append((marks + [0] * width)[:width])
    ids, segments = torch.tensor(rows), torch.tensor(segments)
    labels = ids.masked_fill(segments == 0, -100)
    return {"input_ids": ids, "segment_ids": segments, "labels": labels}


def spelt(tokenizer, ids):
    """Bytes of tokens; a control token by its name, eos alike on both sides."""
    table = canonical_bytes(tokenizer)
    return b"".join(
        b"<eos>" if index == tokenizer.eos_token_id else table[index] or b"?" for index in ids
    )


def test_over_all_pairs_of_tokenizers_chunks_hold_equal_bytes_and_cannot_be_cut(tokenizers):
    for student, teacher in itertools.product(tokenizers, repeat=2):
        batch = batch_of(student, TEXTS)
        pairing = Pairing(student, teacher)
        paired = pairing.pair(batch)
        counted = 0
        for row in range(len(batch["input_ids"])):
            mine, theirs = paired["chunks"][row], paired["teacher_chunks"][row]
            assert set(mine.tolist()) == set(theirs.tolist()) | {NONE}
            for number in sorted(set(mine.tolist()) - {NONE}):
                left = batch["input_ids"][row][mine == number].tolist()
                right = paired["teacher_ids"][row][theirs == number].tolist()
                assert spelt(student, left) == spelt(teacher, right)
                counted += 1
                ends = [
                    {len(spelt(side, ids[:stop])) for stop in range(1, len(ids))}
                    for side, ids in ((student, left), (teacher, right))
                ]
                assert not ends[0] & ends[1]
                where = (mine == number).nonzero().flatten()
                assert where.diff().eq(1).all()
                assert (
                    batch["segment_ids"][row][where] == batch["segment_ids"][row][where - 1]
                ).all()
        assert counted > 20


@pytest.mark.parametrize("kind", KINDS, ids=[kind.value for kind in KINDS])
def test_under_one_tokenizer_every_token_but_the_first_of_a_document_is_a_chunk(kind):
    tokenizer = train_tokenizer(kind, ENGLISH, 420)
    batch = batch_of(tokenizer, ENGLISH[:4])
    paired = Pairing(tokenizer, tokenizer).pair(batch)
    segments = batch["segment_ids"]
    first = torch.zeros_like(segments, dtype=torch.bool)
    first[:, 0] = True
    first[:, 1:] = segments[:, 1:] != segments[:, :-1]
    assert torch.equal(paired["chunks"] >= 0, (segments > 0) & ~first)
    width = paired["teacher_ids"].shape[1]
    assert torch.equal(
        paired["teacher_ids"], batch["input_ids"][:, :width] * (segments > 0)[:, :width]
    )
    assert torch.equal(paired["teacher_chunks"], paired["chunks"][:, :width])


def test_numbers_follow_each_other_where_chunks_do_and_skip_one_between_documents(tokenizers):
    batch = batch_of(tokenizers[0], ENGLISH[:4])
    paired = Pairing(tokenizers[0], tokenizers[3]).pair(batch)
    for row, segments in zip(paired["chunks"], batch["segment_ids"], strict=True):
        places = (row >= 0).nonzero().flatten().tolist()
        for before, after in itertools.pairwise(places):
            step = int(row[after] - row[before])
            assert (step <= 1) == (segments[before] == segments[after])


def test_chunks_with_a_silent_token_do_not_count(tokenizers):
    student, teacher = tokenizers[0], tokenizers[3]
    batch = batch_of(student, ENGLISH[:2])
    whole = Pairing(student, teacher).pair(batch)
    batch["labels"][0, :5] = -100
    part = Pairing(student, teacher).pair(batch)
    silent = set(whole["chunks"][0, :5].tolist())
    kept = ~torch.isin(whole["chunks"][0], torch.tensor(sorted(silent)))
    assert torch.equal(part["chunks"][0] >= 0, (whole["chunks"][0] >= 0) & kept)


def test_numbers_of_several_rows_do_not_touch():
    left = torch.tensor([[0, 1, NONE], [NONE, 0, 3]])
    right = torch.tensor([[0, 1], [0, 3]])
    mine, theirs, count = flat_chunks(left, right)
    assert mine.tolist() == [[0, 1, NONE], [NONE, 5, 8]]
    assert theirs.tolist() == [[0, 1], [5, 8]]
    assert count == 10
