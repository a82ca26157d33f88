"""Distance of rows to those of another map."""

import pytest
import torch

from franken.init_method import Provenance, apply_map, closeness
from tests.init_method.tiny import hand_made_map

SOURCE = torch.tensor([[1.0, 0, 2], [0, 1, 2], [-1, 0, 2], [0, -1, 2]])
"""Mean (0, 0, 2)."""
MAP = hand_made_map(
    [{0: 1.0}, {0: 1.0}, {1: 0.5, 0: 0.5}, {}],
    [Provenance.copied, Provenance.computed, Provenance.computed, Provenance.fallback],
    source_rows=4,
)


def test_the_maps_own_rows_are_at_distance_none_and_only_computed_ones_count() -> None:
    rows = apply_map(MAP, SOURCE)
    assert closeness(rows, MAP, SOURCE) == {"rows": 2, "cosine": pytest.approx(1)}
    rows[[0, 3]] = 7.0
    assert closeness(rows, MAP, SOURCE)["cosine"] == pytest.approx(1)


def test_cosines_are_taken_without_the_mean_and_the_mean_row_is_nothing() -> None:
    rows = torch.zeros(4, 3)
    rows[1] = torch.tensor([0.0, 3, 2])  # at a right angle to (1, 0), but for the offset
    rows[2] = torch.tensor([2.0, 0, 2])  # 45 degrees from (1, 1)
    assert closeness(rows, MAP, SOURCE)["cosine"] == pytest.approx(0.5**0.5 / 2)
    assert closeness(SOURCE.mean(0).expand(4, 3), MAP, SOURCE)["cosine"] == 0
    assert closeness(-rows + torch.tensor([0, 0, 4.0]), MAP, SOURCE)["cosine"] < 0


def test_a_reference_without_computed_rows_measures_nothing() -> None:
    copies = hand_made_map([{0: 1.0}], [Provenance.copied], source_rows=4)
    assert closeness(SOURCE[:1], copies, SOURCE) == {"rows": 0, "cosine": 0.0}
