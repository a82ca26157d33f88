"""Source-shielded updates (SSU, arXiv 2512.04844): input columns that carry old skills stay.

On text of what was learnt before, the columns of every matrix of the body are scored; the best
scored share of them keeps its values, bit for bit, while the rest trains. Scores of column ``j``:
``sum_i |W_ij| ||X_j||`` (the paper), or ``||W_:j|| mean(X_j^2)`` (the release, another ranking).

Departures: norms and biases stay as a whole, where the release keeps half of their elements; weight
decay is refused (the release zeroes gradients, which does not stop decay from shrinking columns).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from franken.config.training import ShieldOptions, ShieldScore
from franken.errors import ConfigError, DataError
from franken.seeds import derive_seed
from franken.training.batches import Batch


def shield_masks(
    model: PreTrainedModel,
    tables: Sequence[nn.Parameter],
    options: ShieldOptions,
    run: Callable[[Batch], object],
    documents: Iterable[Batch],
    seed: int,
) -> dict[str, Tensor]:
    """Which entries of each trained parameter move (bool); all of those of tables.

    Args:
        model: as it is before training.
        tables: embeddings, head and its bias.
        options: how much stays, and by which score.
        run: a forward pass over a batch.
        documents: of what was learnt before, one at a time.
        seed: of random scores.

    Raises:
        ConfigError: where no matrix of the body trains.
        DataError: where inputs are to be measured and there is no document.
    """
    masks = {
        name: torch.full(
            parameter.shape, parameter.ndim > 1 or _among(parameter, tables), dtype=torch.bool
        )
        for name, parameter in model.named_parameters() if parameter.requires_grad
    }  # fmt: skip
    matrices = dict(_matrices(model, tables))
    if not matrices:
        raise ConfigError(
            "training.shield keeps columns of the body's matrices, but none of them trains; use "
            "trainable=full, body or embeddings_and_edge_layers, or set training.shield.share=0"
        )
    squares: dict[str, Tensor] = {}
    if options.reads_text():
        squares = mean_squares(model, list(matrices), run, documents)
    for name, module in matrices.items():
        rows = module.weight.detach().float().cpu()
        turned = isinstance(module, Conv1D)  # stored (in, out)
        generator = torch.Generator().manual_seed(derive_seed(seed, "shield", name))
        scores = column_scores(
            rows.T if turned else rows, squares.get(name), options.score, generator
        )
        kept = highest(scores, options.share)
        mask = masks[f"{name}.weight"]
        (mask if turned else mask.T)[kept] = False
    return masks


def column_scores(
    rows: Tensor, squares: Tensor | None, score: ShieldScore, generator: torch.Generator
) -> Tensor:
    """``(n,)`` scores of the columns of ``(m, n)``; ``squares``: mean squared inputs ``(n,)``."""
    if score is ShieldScore.random:
        return torch.rand(rows.shape[1], generator=generator)
    if score is ShieldScore.magnitude:
        return rows.abs().sum(0)
    assert squares is not None
    if score is ShieldScore.released:
        lengths: Tensor = rows.norm(dim=0)
        return lengths * squares
    return rows.abs().sum(0) * squares.sqrt()


def highest(scores: Tensor, share: float) -> Tensor:
    """``(n,)`` bool: the best scored share; of equal scores the first."""
    kept = torch.zeros(len(scores), dtype=torch.bool)
    order = scores.sort(descending=True, stable=True).indices
    kept[order[: round(share * len(scores))]] = True
    return kept


def mean_squares(
    model: PreTrainedModel,
    names: Sequence[str],
    run: Callable[[Batch], object],
    documents: Iterable[Batch],
) -> dict[str, Tensor]:
    """``(n,)`` mean squared input of each module, over all positions of the documents.

    Raises:
        DataError: where a module read nothing.
    """
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = dict.fromkeys(names, 0)

    def note(name: str, inputs: Tensor) -> None:
        rows = inputs.detach().flatten(0, -2).double()
        total = rows.square().sum(0)
        sums[name] = sums[name] + total if name in sums else total
        counts[name] += len(rows)

    with torch.no_grad(), _listening(model, names, note):
        for document in documents:
            run(document)
    if missing := [name for name in names if not counts[name]]:
        raise DataError(
            f"no input of {missing[0]!r} ({len(missing)} of {len(names)} matrices) was seen: the "
            "splits of the step's `earlier` hold no text; name some that do, or set "
            "training.shield.score=magnitude"
        )
    return {name: (sums[name] / counts[name]).float().cpu() for name in names}


@contextmanager
def _listening(
    model: PreTrainedModel, names: Sequence[str], note: Callable[[str, Tensor], None]
) -> Iterator[None]:
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda module, inputs, name=name: note(name, inputs[0])
        )
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _matrices(
    model: PreTrainedModel, tables: Sequence[nn.Parameter]
) -> Iterator[tuple[str, nn.Linear | Conv1D]]:
    """Name and module of every linear layer of the body that trains."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            weight: nn.Parameter = module.weight  # type: ignore[assignment]
            if weight.requires_grad and not _among(weight, tables):
                yield name, module


def _among(parameter: nn.Parameter, others: Sequence[nn.Parameter]) -> bool:
    return any(parameter is other for other in others)
