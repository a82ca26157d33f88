"""Second moments of what enters every linear layer, for GPTQ."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from franken.parts.anatomy import anatomy_of
from franken.parts.weights import kind_of_tensor


@torch.no_grad()
def input_moments(model: Any, texts: Iterable[Sequence[int]]) -> dict[str, Tensor]:
    """``H = 2 / N sum x x^T`` over all tokens, by parameter; layers that read the same share it.

    The moments are those of the tuned model as it is, not of one whose earlier layers are rounded
    already: layers are then independent, and one pass serves all of them.

    Args:
        model: a causal LM in evaluation mode.
        texts: token ids.

    Returns:
        Parameter -> ``(n, n)`` float32 for attention and MLP matrices of n inputs, however stored.
    """
    anatomy = anatomy_of(model.config)
    sums: dict[str, Tensor] = {}
    owners: dict[str, str] = {}
    seen: list[tuple[Tensor, str]] = []  # holds the inputs, so that no address is used twice
    tokens = 0

    def watch(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            source = arguments[0]
            first = next((owner for tensor, owner in seen if tensor is source), name)
            owners[name] = first
            if first == name:
                seen.append((source, name))
                rows = source.detach().reshape(-1, source.shape[-1]).float()
                sums[name] = sums.get(name, 0) + rows.T @ rows

        return hook

    handles = []
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Linear | Conv1D) and weight is not None:
            kind = kind_of_tensor(f"{name}.weight", tuple(weight.shape), anatomy)
            if kind in ("attention", "mlp"):
                handles.append(module.register_forward_pre_hook(watch(f"{name}.weight")))
    try:
        for ids in texts:
            seen.clear()
            model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False)
            tokens += len(ids)
    finally:
        for handle in handles:
            handle.remove()
    return {name: (2 / max(tokens, 1) * sums[owner]).cpu() for name, owner in owners.items()}
