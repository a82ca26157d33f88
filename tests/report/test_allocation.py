"""Vocabulary measures against scores: numpy's correlation of values with the language means off."""

import numpy as np
import pytest

from franken.report.allocation import allocation_table, correlation
from franken.report.results import Results


def places(values):
    return {
        (f"v{at}", lang, 0): value for lang, own in values.items() for at, value in enumerate(own)
    }


def test_a_language_that_is_harder_as_a_whole_does_not_count():
    left = {"id": [1.0, 2.0, 3.0, 4.0], "ka": [11.0, 12.5, 13.0, 13.5]}
    right = {"id": [5.0, 6.5, 6.0, 8.0], "ka": [1.0, 2.0, 1.5, 2.5]}
    found = correlation(places(left), places(right))
    centred = [
        np.concatenate([np.array(own) - np.mean(own) for own in side.values()])
        for side in (left, right)
    ]
    expected = np.corrcoef(*centred)[0, 1]
    assert found.value == pytest.approx(expected)
    z = 1.96 / np.sqrt(8 - 2 - 2)
    assert found[1:] == pytest.approx((np.tanh(np.arctanh(expected) - z),
                                       np.tanh(np.arctanh(expected) + z), 8))  # fmt: skip


def test_too_few_runs_and_a_side_without_variation_give_none():
    assert correlation(places({"id": [1.0, 2.0]}), places({"id": [1.0, 3.0]})) is None
    assert correlation(places({"id": [1.0] * 4}), places({"id": [1.0, 3.0, 2.0, 4.0]})) is None


def test_the_table_turns_scores_so_that_plus_is_better(make):
    records = []
    for at, (rank, bits, acc) in enumerate([(10, 3.0, 0.2), (20, 2.0, 0.4), (30, 1.0, 0.6)]):
        scores = [
            ("allocation", "average_rank", rank), ("text", "bits_per_byte", bits),
            ("topics", "acc", acc),
        ]  # fmt: skip
        records += [
            make("task", "id", value, variant=f"v{at}", task=task, metric=metric)
            for task, metric, value in scores
        ]
    table = allocation_table(Results(records))
    assert [label[0] for label in table.labels] == ["task", "task"]
    assert [views[0].value for views in table.views] == pytest.approx([1.0, 1.0])
    assert all(view.value is None for views in table.views for view in views[1:])
    assert allocation_table(Results(records[1:3])) is None
