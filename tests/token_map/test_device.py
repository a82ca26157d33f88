"""What compares vectors works where they lie: nothing that it makes lies on a default device.

With ``meta`` as the default device whatever does not say where it lies has no values, and what
joins it with values fails.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, initialise
from franken.init_method.tokenadapt import Encoder, TokenAdaptInit
from franken.token_map.atom_search import AtomSearch
from franken.token_map.matching_pursuit import _pursue
from franken.token_map.neighbours import nearest_rows, top_neighbours
from franken.token_map.projection import (
    Support,
    dense_weights,
    orthogonal_weights,
    projection_weights,
)
from franken.token_map.sparsemax import sparsemax_neighbours
from tests.init_method.tiny import CONFIGS, source_table, target_tokenizer

BYTE = TokenizerKind.byte_level_bpe


def vectors(count: int, width: int = 12, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


QUERIES, ANCHORS = vectors(30, seed=1), vectors(400)
FEW = Support.of_table(torch.arange(30)[:, None] * 3 + torch.arange(4))
MANY = Support.of_table(torch.arange(30)[:, None] * 3 + torch.arange(20))


def least_squares(support: Support, **options: object) -> Callable[[], object]:
    return lambda: projection_weights(QUERIES, ANCHORS, support, **options)  # type: ignore[arg-type]


WORK: dict[str, Callable[[], object]] = {
    "cosine": lambda: top_neighbours(QUERIES, ANCHORS, 5),
    "euclidean": lambda: top_neighbours(QUERIES, ANCHORS, 300, metric="euclidean"),
    "some rows": lambda: top_neighbours(
        ANCHORS, ANCHORS, 2, query_rows=QUERY_ROWS, anchor_rows=ANCHOR_ROWS
    ),
    "tiles": lambda: nearest_rows(QUERIES, ANCHORS, ANCHOR_ROWS, 3, tile_rows=50),
    "sparsemax": lambda: vars(sparsemax_neighbours(QUERIES, ANCHORS, temperature=0.3)),
    "pursuit": lambda: _pursue(QUERIES.double(), ANCHORS, 4, AtomSearch(ANCHORS), 1e-6),
    "least squares": least_squares(FEW),
    "damped": least_squares(FEW, ridge=0.1, importance=np.ones(len(FEW.columns))),
    "centred": least_squares(FEW, center=True),
    "underdetermined": least_squares(MANY),
    "dense": lambda: dense_weights(QUERIES, ANCHORS, rcond=1e-9, ridge=0.0, center=False),
    "rotation": lambda: orthogonal_weights(QUERIES, ANCHORS, ANCHORS, rcond=1e-9),
}
QUERY_ROWS, ANCHOR_ROWS = torch.arange(0, 60, 2), torch.arange(100, 300)


def plain(found: object) -> list[np.ndarray]:
    if isinstance(found, dict):
        found = tuple(found.values())
    return [np.asarray(x) for x in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", WORK)
def test_nothing_is_made_on_another_device_than_the_vectors(name: str) -> None:
    expected = plain(WORK[name]())
    with torch.device("meta"):
        found = plain(WORK[name]())
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


def test_eight_bits_as_float32_find_the_same_atoms() -> None:
    """What a GPU compares first."""
    taken = torch.empty(200, 0, dtype=torch.int64)
    asked = vectors(200, seed=3).double()
    exact = AtomSearch(ANCHORS, dtype=torch.float32).best(asked, taken)
    rough = AtomSearch(ANCHORS, dtype=torch.float32, few_bits=True)
    assert torch.equal(rough._coarse, rough._coarse.bfloat16().float())
    assert torch.equal(rough.best(asked, taken), exact)


def test_a_fit_computes_where_its_resources_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The anchors are brought there; a stand-in notes the device that is asked for."""
    from franken.token_map import similarity

    asked: list[object] = []

    class Noted(torch.Tensor):
        def to(self, *where: object) -> torch.Tensor:  # type: ignore[override]
            asked.extend(where)
            return self.as_subclass(torch.Tensor)

    class Builder:
        device = "cuda"

        def put_entries(self, *entries: object) -> None:
            """Nothing is looked at."""

    anchors = ANCHORS.as_subclass(Noted)
    rows = np.arange(len(QUERIES))
    similarity.put_sparsemax_rows(Builder(), rows, QUERIES, anchors, np.arange(len(ANCHORS)))  # type: ignore[arg-type]
    assert asked == ["cuda"]


@pytest.mark.parametrize("name", ["multivariate", "tokenadapt"])
def test_an_initialiser_computes_where_its_resources_say(name: str) -> None:
    """What ``meta`` computed has no values to bring back, so that it was asked shows."""
    source, target = source_table(BYTE), target_tokenizer(BYTE)
    method = CONFIGS[name] if name == "multivariate" else TokenAdaptInit(encoder=Encoder.rows)
    made, _ = initialise(source, target, method, InitResources(), 0)
    assert bool(made.input.isfinite().all())
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        initialise(source, target, method, InitResources(device="meta"), 0)
