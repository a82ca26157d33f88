"""Frozen layers that wait in CPU memory and come to the device one at a time.

What ZeRO-Offload (Ren et al. 2021) does for all that trains, for a body that does not: nothing has
to be written back. A layer comes once for the forward pass and, as its activations are computed
anew, once for the backward pass; then its weights on the device are forgotten.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def offloaded(layers: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Take the frozen weights of layers out of them, but for the time of a pass.

    In the meantime empty tensors stand for them, so that moving the model moves what trains alone.

    Args:
        layers: each called on its own, with ``requires_grad`` set; what trains in them stays.
        device: that of a pass.
    """
    visitors = [_Visitor(layer, device) for layer in layers]
    try:
        yield
    finally:
        for visitor in visitors:
            visitor.stay()


class _Visitor:
    """A layer and its weights at home."""

    def __init__(self, layer: nn.Module, device: torch.device) -> None:
        self._layer, self._device = layer, device
        self._home = [
            (module, name, parameter)
            for module in layer.modules()
            for name, parameter in module.named_parameters(recurse=False)
            if not parameter.requires_grad
        ]
        for module, name, parameter in self._home:
            parameter.data = at_home(parameter.data, device)
            module._parameters[name] = _frozen(parameter.new_empty(0))
        self._forward: Any = layer.forward
        visit = functools.partial(checkpoint, self._visit, use_reentrant=False)
        layer.forward = visit  # type: ignore[method-assign]

    def stay(self) -> None:
        """Everything where it was."""
        del self._layer.__dict__["forward"]
        for module, name, parameter in self._home:
            module._parameters[name] = parameter

    def _visit(self, *args: Any, **kwargs: Any) -> Any:
        places = [(module, name, module._parameters[name]) for module, name, _ in self._home]
        for module, name, parameter in self._home:
            module._parameters[name] = _frozen(bring(parameter.data, self._device))
        try:
            return self._forward(*args, **kwargs)
        finally:
            for module, name, placeholder in places:
                module._parameters[name] = placeholder


def at_home(weight: Tensor, device: torch.device) -> Tensor:
    """A weight in CPU memory, page-locked where a GPU is to read it: twice as fast or more."""
    weight = weight.cpu()
    return weight.pin_memory() if device.type == "cuda" else weight


def bring(weight: Tensor, device: torch.device) -> Tensor:
    """A weight on the device; the copy of one overlaps with the work before it."""
    return weight.to(device, non_blocking=True)


def _frozen(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight, requires_grad=False)
