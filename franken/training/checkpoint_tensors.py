"""Weights and optimiser state as tensors with names, and back: the numbers of a checkpoint.

Named by parameter and not by position, so that one process can continue what several began with
sharded parameters, and the other way round.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from franken.training.module import CausalModule
from franken.training.sharding import like, own_part
from franken.training.shards import read_shards, shapes_in

WEIGHTS, OPTIMIZER = "weights/", "optimizer/"
"""What begins the names of shards."""


def run_tensors(
    module: CausalModule, optimizer: torch.optim.Optimizer | None, *, sharded: bool
) -> dict[str, Any]:
    """What a checkpoint holds: ``weights`` and ``optimizer``, or ``tensors`` and ``scalars``.

    Args:
        module: after training has begun.
        optimizer: ``None``: only the weights.
        sharded: a flat mapping of the tensors of this process, scalars apart.
    """
    weights = module.trained_weights()
    state = {} if optimizer is None else _state_of(module, optimizer)
    if not sharded:
        return {"weights": weights} | ({} if optimizer is None else {"optimizer": state})
    tensors = {WEIGHTS + name: value for name, value in weights.items()}
    tensors |= {OPTIMIZER + name: value for name, value in state.items() if value.ndim}
    return {"tensors": tensors, "scalars": {n: v for n, v in state.items() if not v.ndim}}


def load_optimizer(
    module: CausalModule, optimizer: torch.optim.Optimizer, saved: dict[str, Any]
) -> None:
    """Continue with the optimiser state of a checkpoint, whole or sharded."""
    parameters = dict(module.named_trained())
    if "shards" not in saved:
        found: dict[str, Tensor] = saved["optimizer"]
    else:
        folder = Path(saved["shards"])
        found = {
            name.removeprefix(OPTIMIZER): _empty(parameters[_split(name)[0]], shape)
            for name, shape in sorted(shapes_in(folder).items())
            if name.startswith(OPTIMIZER)
        }
        read_shards(folder, {OPTIMIZER + name: value for name, value in found.items()})
        found = {**found, **saved["scalars"]}
    on_device = any(g.get("fused") or g.get("capturable") for g in optimizer.param_groups)
    for place, value in found.items():
        name, quantity = _split(place)
        parameter = parameters[name]
        if value.ndim:
            value = value if type(value) is not Tensor else like(value, parameter)
        elif on_device:
            value = value.to(own_part(parameter).device)
        optimizer.state[parameter][quantity] = value.clone()


def read_weights(saved: dict[str, Any], parameters: dict[str, Tensor]) -> None:
    """Put the trained weights of a checkpoint into parameters, in place.

    Args:
        saved: what ``CheckpointFolder.load`` gave.
        parameters: of one process's whole model, by name; those that the checkpoint lacks stay.
    """
    if "shards" not in saved:
        with torch.no_grad():
            for name, value in saved["weights"].items():
                parameters[name].copy_(value)
        return
    folder = Path(saved["shards"])
    names = [name for name in shapes_in(folder) if name.startswith(WEIGHTS)]
    read_shards(folder, {n: parameters[n.removeprefix(WEIGHTS)].detach() for n in sorted(names)})


def _state_of(module: CausalModule, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{quantity}": torch.as_tensor(value)
        for name, parameter in module.named_trained()
        for quantity, value in optimizer.state.get(parameter, {}).items()
    }


def _empty(parameter: Tensor, shape: torch.Size) -> Tensor:
    return torch.zeros_like(parameter) if parameter.shape == shape else torch.zeros(shape)


def _split(place: str) -> tuple[str, str]:
    """Parameter and quantity."""
    name, quantity = place.removeprefix(OPTIMIZER).rsplit("/", 1)
    return name, quantity
