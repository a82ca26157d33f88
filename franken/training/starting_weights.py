"""What is measured on the starting weights, before they move: importances, masks of a shield.

A killed run that goes on measures anew: the same weights give the same numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from franken.config.training import ShieldOptions
from franken.errors import ConfigError
from franken.training.batches import Batch, to_device
from franken.training.fisher import diagonal_fisher, documents_of
from franken.training.module import CausalModule
from franken.training.policy import embedding_parameters
from franken.training.shield import shield_masks


def importances(
    module: CausalModule,
    anchors: Sequence[torch.Tensor],
    earlier: Sequence[Any],
    examples: int,
    device: str,
) -> list[torch.Tensor]:
    """Fisher information of the weights that train, summed over what was learnt before.

    Args:
        module: of the starting model.
        anchors: starting values of what trains.
        earlier: data modules of what was learnt before.
        examples: documents of each.
        device: where the model trains.

    Raises:
        ConfigError: where there is nothing to measure on, or no pull that would use it.
    """
    if not earlier or not anchors:
        raise ConfigError(
            "training.anchor_examples measures on data learnt before, for a pull: it needs "
            "training.anchor above 0 and the data modules of earlier splits"
        )
    moving = [p for p in module.model.parameters() if p.requires_grad]
    sums = [torch.zeros_like(start, dtype=torch.float32) for start in anchors]
    with _measuring(module, device):
        for datamodule in earlier:
            documents = _documents(datamodule, examples, device)
            for total, found in zip(
                sums, diagonal_fisher(moving, module.summed_loss, documents), strict=True
            ):
                total += found.to(total.device)
    return sums


def masks_of_shield(
    module: CausalModule,
    names: Sequence[str],
    options: ShieldOptions,
    earlier: Sequence[Any],
    seed: int,
    device: str,
) -> list[torch.Tensor]:
    """What moves of each parameter in ``names``; arguments as in :func:`importances`."""
    documents = (
        document
        for datamodule in (earlier if options.reads_text() else ())
        for document in _documents(datamodule, options.examples, device)
    )
    with _measuring(module, device):
        masks = shield_masks(
            module.model, embedding_parameters(module.model), options, module.hidden_states,
            documents, seed,
        )  # fmt: skip
    return [masks[name] for name in names]


@contextmanager
def _measuring(module: CausalModule, device: str) -> Iterator[None]:
    """The model where it trains, in evaluation mode; back as it was afterwards."""
    modes = {part: part.training for part in module.model.modules()}
    module.eval().to(device)
    yield
    module.to("cpu")
    for part, training in modes.items():
        part.training = training


def _documents(datamodule: Any, count: int, device: str) -> Iterator[Batch]:
    """The first documents of what was learnt before, where the model is."""
    datamodule.prepare_data()
    datamodule.setup("fit")
    for document in documents_of(datamodule.train_dataloader(), count):
        yield to_device(document, torch.device(device))
