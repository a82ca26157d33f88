"""VocADT (Han et al. 2025, arXiv 2410.09644): the map before its weights are trained.

Shared pieces start one-hot, others at the mean of their source pieces, and pieces without any at a
random mixture. The paper trains a dense matrix, which a large vocabulary forbids (256k x 256k is
6.6e10 weights); here a row may use the source rows of its start and ``neighbours`` more, the
nearest to the start, whose weights are 0 before training. The training is
``franken/training/learners/vocadt.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import field, replace
from typing import ClassVar

from franken.config.checks import at_least
from franken.config.training import Schedule, TrainingConfig
from franken.declare import option
from franken.errors import CompatibilityError
from franken.init_method.base import LearnedInit
from franken.lazy import later

with later():
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import compressed
    from franken.token_map.engine import apply_map
    from franken.token_map.neighbours import nearest_rows
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import Provenance, Reduce, TokenMap
    from franken.training.learners import LearnedRows, LearnTask, vocadt

_CHUNK_ROWS = 16384  # each chunk reads the source table once


NO_SUMS = ("embedding_structure", "subtoken_max")
"""Maps with draws by class, or with maxima."""


@option
class VocadtInit(LearnedInit):
    """Trains the map's weights on target text under a frozen model, then folds them (VocADT)."""

    paper: ClassVar[str] = "Han et al. 2025, arXiv 2410.09644"

    aux_alpha: float = 0.1
    """Weight of the auxiliary loss, which keeps shared pieces near their source rows; the paper has
    0.1 for languages of other scripts and 0 for Latin ones."""
    tie_in_out: bool = False
    """One set of weights for input and output embeddings of untied models."""
    neighbours: int = 8
    """Source rows nearest to the start that each new row may draw on beside its own, with weight 0
    at the start: the whole source vocabulary, as in the paper, is too many."""
    random_support: int = 8
    """Source rows, drawn at random, of a piece that the start has none for."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=100, batch_size=16, lr=1e-2, schedule=Schedule.cosine, warmup=0.05
        )
    )
    """Schedule of the training, on the adaptation split; only ``edge_layers``, ``lora``,
    ``freeze_special_rows`` and ``validate_every`` mean nothing here."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("aux_alpha", self.aux_alpha, 0.0)
        yield from at_least("neighbours", self.neighbours, 0)
        yield from at_least("random_support", self.random_support, 1)
        if self.start in NO_SUMS:
            yield "start", f"{self.start} has rows that are no weighted sums: no weights to train"
        if self.noise_std or self.norm_match:
            yield "noise_std", "and norm_match are no weights of a map, so vocadt cannot train them"

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the start and widen its support.

        Raises:
            CompatibilityError: where rows of the start are no weighted sums.
        """
        token_map = super().fit(source, target, resources, seed)
        if token_map.reduce is not Reduce.sum or token_map.classes is not None:
            raise CompatibilityError(
                f"init_method=vocadt trains the weights of sums, and start={self.start} has rows "
                "that are none; take another start, such as subtoken_mean"
            )
        if self.tie_in_out:
            token_map.output_weights = None
        token_map = with_random_rows(token_map, self.random_support)
        if self.neighbours and source.input.shape[0]:
            token_map = with_neighbours(
                token_map, source.input, self.neighbours, device=resources.device
            )
        return token_map

    def learn(self, task: LearnTask) -> LearnedRows:
        """The training."""
        return vocadt.learn(task, self)


def with_random_rows(token_map: TokenMap, count: int) -> TokenMap:
    """Give every row without weights ``count`` source rows, drawn by the token's key.

    The weights are uniform on the simplex: a random row of W that stays among the source rows.
    """
    empty = (token_map.sizes() == 0) & (token_map.provenance == int(Provenance.fallback))
    rows = empty.nonzero().flatten().tolist()
    exemplars = token_map.exemplars.nonzero().flatten().numpy()
    count = min(count, len(exemplars))
    parts = [_entries(token_map)]
    for row in rows:
        name = f"{token_map.fallback.seed}\x1fvocadt\x1f".encode() + token_map.keys[row]
        digest = hashlib.blake2b(name, digest_size=16).digest()
        drawn = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
        columns = drawn.choice(exemplars, size=count, replace=False)
        weights = drawn.dirichlet(np.ones(count))
        parts.append((np.full(count, row), columns, weights, weights))
    made = _rebuilt(token_map, parts)
    made.provenance = token_map.provenance.clone()
    made.provenance[empty] = int(Provenance.computed)
    made.notes = {**token_map.notes, "random_rows": len(rows)}
    return made


def with_neighbours(
    token_map: TokenMap, source: Tensor, count: int, *, device: str = "cpu"
) -> TokenMap:
    """Let every computed row use its ``count`` nearest source rows too, with weight 0.

    Nearest by cosine to the start's input row; rows that it has already are not counted.
    """
    computed = (token_map.provenance == int(Provenance.computed)).nonzero().flatten()
    exemplars = token_map.exemplars.nonzero().flatten()
    start, among = apply_map(token_map, source), source.to(device)
    width = token_map.source_rows
    old_rows, old_columns, *_ = _entries(token_map)
    known = old_rows * width + old_columns
    parts = [_entries(token_map)]
    for ids in computed.split(_CHUNK_ROWS):
        own = int(token_map.sizes()[ids].max())
        near = nearest_rows(start[ids], among, exemplars, count + own)
        pairs = torch.stack([ids[:, None].expand_as(near), near]).flatten(1)
        rows, found = pairs.numpy()
        fresh = ~np.isin(rows * width + found, known)
        rows, found = rows[fresh], found[fresh]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)  # rows ascend: rank within each
        rows, found = rows[place < count], found[place < count]
        parts.append((rows, found, np.zeros(len(rows)), np.zeros(len(rows))))
    return _rebuilt(token_map, parts)


def _entries(token_map: TokenMap) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = np.repeat(np.arange(token_map.rows), token_map.sizes().numpy())
    weights, output = token_map.weights, token_map.weights_of("output")
    return rows, token_map.indices.numpy().astype(np.int64), weights.numpy(), output.numpy()


def _rebuilt(
    token_map: TokenMap, parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
) -> TokenMap:
    indptr, indices, weights, output = compressed(parts, token_map.rows)
    return replace(
        token_map,
        indptr=torch.from_numpy(indptr),
        indices=torch.from_numpy(indices),
        weights=torch.from_numpy(weights),
        output_weights=None if token_map.output_weights is None else torch.from_numpy(output),
    )
