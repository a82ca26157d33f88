"""Importances of weights for what was learnt before: the diagonal of the Fisher information.

EWC (Kirkpatrick et al. 2017, equation 3): ``F_i = E[(d log p(response | prompt) / d w_i)^2]``, here
with the responses of the data rather than samples of the model (the *empirical* Fisher).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor, nn

from franken.errors import DataError
from franken.training.batches import Batch, count_targets


def diagonal_fisher(
    parameters: Sequence[nn.Parameter], loss: Callable[[Batch], Tensor], documents: Iterable[Batch]
) -> list[Tensor]:
    """Mean over documents of the squared gradient; one gradient and the sum are in memory.

    Args:
        parameters: what trains; gradients are left as ``None``.
        loss: summed negative log-likelihood of a document.
        documents: one at a time, as batches of one row.

    Returns:
        Per parameter a float32 tensor of its shape.

    Raises:
        DataError: where there is no document with a position that counts.
    """
    sums = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in parameters]
    count = 0
    for document in documents:
        gradients = torch.autograd.grad(loss(document), parameters, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total += gradient.detach().float().square()
        count += 1
    if not count:
        raise DataError(
            "the earlier splits hold no text to weigh the pull by; name splits that have some in "
            "the step's `earlier`, or set training.*.anchor_examples to 0"
        )
    return [total / count for total in sums]


def documents_of(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """The first ``count`` documents of packed batches, each alone and without padding.

    Documents of which no position counts are passed over.
    """
    yield from islice(_documents(batches), count)


def _documents(batches: Iterable[Batch]) -> Iterator[Batch]:
    for batch in batches:
        for row in range(len(batch["segment_ids"])):
            segments = batch["segment_ids"][row]
            for segment in segments.unique().tolist():
                if segment == 0:
                    continue
                places = segments == segment
                alone = {
                    key: batch[key][row][places][None]
                    for key in ("input_ids", "labels", "position_ids", "segment_ids")
                }
                alone["segment_ids"] = torch.ones_like(alone["segment_ids"])
                if count_targets(alone, across_documents=False):
                    yield alone
