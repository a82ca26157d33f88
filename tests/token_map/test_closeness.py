"""Distance of rows to those of another map."""

import sys

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
    whole = {"rows": 2, "cosine": pytest.approx(1), "found": 1.0}
    assert closeness(rows, MAP, SOURCE) == whole
    rows[[0, 3]] = 7.0
    assert closeness(rows, MAP, SOURCE) == whole


def test_cosines_are_taken_without_the_mean_and_the_mean_row_is_nothing() -> None:
    rows = torch.zeros(4, 3)
    rows[1] = torch.tensor([0.0, 3, 2])  # at a right angle to (1, 0), but for the offset
    rows[2] = torch.tensor([2.0, 0, 2])  # 45 degrees from (1, 1)
    assert closeness(rows, MAP, SOURCE)["cosine"] == pytest.approx(0.5**0.5 / 2)
    assert closeness(SOURCE.mean(0).expand(4, 3), MAP, SOURCE)["cosine"] == 0
    assert closeness(-rows + torch.tensor([0, 0, 4.0]), MAP, SOURCE)["cosine"] < 0


def test_a_reference_without_computed_rows_measures_nothing() -> None:
    copies = hand_made_map([{0: 1.0}], [Provenance.copied], source_rows=4)
    assert closeness(SOURCE[:1], copies, SOURCE) == {"rows": 0, "cosine": 0.0, "found": 0.0}


def test_found_is_the_share_nearest_to_the_row_of_their_own_token(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(40, 16, generator=generator) + 3
    kinds = [Provenance.computed] * 30
    reference = hand_made_map([{row: 1.0} for row in range(30)], kinds, source_rows=40)
    rows = source[:30].clone()
    rows[:6] = rows[:6].roll(1, 0)  # six rows of another token
    rows[6:9] = source.mean(0)  # three that say nothing
    rows[9:] += 0.01 * torch.randn(21, 16, generator=generator)
    for chunk in (7, 1024):
        monkeypatch.setattr(sys.modules[closeness.__module__], "_CHUNK_ROWS", chunk)
        assert closeness(rows, reference, source)["found"] == pytest.approx(21 / 30)
    twins = hand_made_map([{0: 1.0}, {0: 1.0}], kinds[:2], source_rows=40)
    assert closeness(source[[0, 0]], twins, source)["found"] == 1.0
