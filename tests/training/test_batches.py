"""From batches to optimiser steps."""

import pytest
import torch

from franken.config.training import TrainingConfig
from franken.errors import ConfigError, DataError
from franken.training.batches import (
    StepFeed,
    count_labels,
    count_targets,
    next_tokens,
    rows_of_rank,
)
from tests.faults import raises
from tests.training.tiny import TinyData

CONFIG = TrainingConfig(batch_size=4, sequence_length=12)


def test_targets_are_shifted_and_stop_at_document_borders():
    batch = {
        "labels": torch.tensor([[5, 6, 7, 8, -100]]),
        "segment_ids": torch.tensor([[1, 1, 2, 2, 0]]),
    }
    assert next_tokens(batch, across_documents=False).tolist() == [[6, -100, 8, -100]]
    assert next_tokens(batch, across_documents=True).tolist() == [[6, 7, 8, -100]]
    assert count_targets(batch, across_documents=False) == 2


def test_processes_share_the_rows_of_a_batch():
    batch = {"input_ids": torch.arange(8).reshape(4, 2), "loss_weight": 0.5}
    shares = [rows_of_rank(batch, rank, 2)["input_ids"][:, 0].tolist() for rank in (0, 1)]
    assert shares == [[0, 4], [2, 6]]
    with raises(ConfigError, "training.batch_size"):
        rows_of_rank(batch, 0, 5)


def feed(steps: int, state: dict | None = None, **data: int) -> StepFeed:
    return StepFeed(
        TinyData(CONFIG, **data), steps=steps, accumulate=2, across_documents=False, state=state
    )


def test_the_weights_of_a_step_add_up_to_one_position_each():
    batches = list(feed(3))
    assert len(batches) == 6 == len(feed(3))
    for step in (batches[:2], batches[2:4], batches[4:]):
        total = sum(count_targets(b, across_documents=False) * b["loss_weight"] for b in step)
        assert total == pytest.approx(1.0)


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_feed_resumes_with_exactly_the_next_batch(cut):
    whole = [b["input_ids"] for b in feed(9)]  # 18 batches over rounds of 7
    first = feed(9)
    taken = [b["input_ids"] for _, b in zip(range(2 * cut), first, strict=False)]
    rest = [b["input_ids"] for b in feed(9 - cut, first.state_dict())]
    assert len(taken) + len(rest) == len(whole)
    assert all(torch.equal(a, b) for a, b in zip(taken + rest, whole, strict=True))


def test_hiding_is_told_the_step_and_counted_after():
    def hide(batch, step, part):
        labels = torch.full_like(batch["labels"], -100)
        labels[0, : 1 + part] = 4
        return {**batch, "labels": labels, "at": (step, part)}

    made = list(
        StepFeed(
            TinyData(CONFIG), steps=2, accumulate=2, across_documents=False, prepare=hide,
            count=count_labels,
        )
    )  # fmt: skip
    assert [batch["at"] for batch in made] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {batch["loss_weight"] for batch in made} == {1 / 3}


def test_an_empty_loader_is_an_error_not_a_hang():
    with raises(DataError, "batch"):
        next(iter(_empty()))


def _empty() -> StepFeed:
    empty = feed(1)
    empty.loader = []
    return empty
