"""Multi-token prediction: further heads for further tokens, thrown away at the end.

Gloeckle et al. 2024 (arXiv 2404.19737), as Yamaguchi et al. (arXiv 2406.11477) tune new
vocabularies with it: head k, a copy of the head when training begins, reads the state at position i
and predicts token i + 1 + k of the same document. States and rows learn to tell more of what comes;
the model that is left predicts the next token as before. Departure from the former: heads share all
layers, there is none of their own between.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.errors import ConfigError
from franken.parts.segmented import segmented
from franken.training.batches import Batch
from franken.training.loss import IGNORED
from franken.training.policy import head_of

MARK = "franken_ahead"
"""Name of the heads inside a model that trains with them: behind all that it has of its own."""


def add_heads(model: PreTrainedModel, count: int) -> None:
    """Give a model ``count`` further heads, trainable copies of its own.

    Raises:
        ConfigError: where the model has several tables.
    """
    if segmented(model) is not None:
        raise ConfigError("training.ahead is not there for models with several tables; set it to 0")
    weight, _ = head_of(model)
    copies = [nn.Parameter(weight.detach().float().clone()) for _ in range(count)]
    model.add_module(MARK, nn.ParameterList(copies))


def take_off_heads(model: PreTrainedModel) -> None:
    """Undo :func:`add_heads`."""
    if hasattr(model, MARK):
        delattr(model, MARK)


def heads_ahead(model: PreTrainedModel) -> Iterator[tuple[int, Tensor]]:
    """Distance beyond the next token, from 1, and ``(V, D)`` rows of each further head."""
    yield from enumerate(getattr(model, MARK, ()), 1)


def targets_ahead(batch: Batch, distance: int, *, across_documents: bool) -> Tensor:
    """``(B, L - 1 - distance)`` labels of what stands ``distance`` behind the next token."""
    labels, segments = batch["labels"], batch["segment_ids"]
    shift = 1 + distance
    targets: Tensor = labels[:, shift:]
    if across_documents:
        return targets
    return targets.masked_fill(segments[:, shift:] != segments[:, :-shift], IGNORED)


def loss_ahead(
    model: PreTrainedModel, hidden: Tensor, batch: Batch,
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor], *, across_documents: bool,
) -> list[Tensor]:  # fmt: skip
    """Summed losses of the further heads.

    Args:
        model: carries the heads.
        hidden: ``(B, L, D)`` states.
        batch: what they were read from.
        loss_of: states ``(N, D)``, rows ``(V, D)``, labels ``(N,)`` -> summed nats.
        across_documents: whether targets may lie in the next document.
    """
    found = []
    for distance, rows in heads_ahead(model):
        targets = targets_ahead(batch, distance, across_documents=across_documents)
        states = hidden[:, : targets.shape[1]]
        found.append(loss_of(states.flatten(0, 1), rows, targets.flatten()))
    return found
