"""What bitsandbytes does while a model trains: a frozen body in 8 or 4 bits, Adam's state in 8.

Dettmers et al.: *LLM.int8()* (2022), *QLoRA* (2023: NF4, its scales quantised too), *8-bit
optimizers via block-wise quantization* (2021). The table, adapters, norms and biases stay as wide
as they are elsewhere; nothing that is saved has fewer bits.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from franken.config.training import BodyType, TrainingConfig
from franken.errors import CompatibilityError

_BLOCK, _RUN = 256, 1 << 18
"""Weights that share a scale of 8-bit moments (the library's), and those updated at one time."""

_OUTLIERS = 6.0
"""Inputs of a larger absolute value go through in 16 bits (LLM.int8(), its threshold)."""


def quantise_frozen(model: nn.Module, kind: BodyType, keep: Sequence[Tensor]) -> int:
    """Put 8- or 4-bit layers in the place of frozen ``nn.Linear`` ones.

    Args:
        model: with ``requires_grad`` set; changed in place, and not to be saved afterwards.
        kind: ``int8`` or ``nf4``.
        keep: parameters whose layers stay: embeddings and head.

    Returns:
        How many layers.

    Raises:
        CompatibilityError: without bitsandbytes, or where the model has no such layer.
    """
    library = _bitsandbytes(f"body_dtype={kind.value}")
    wide = {id(parameter) for parameter in keep}
    chosen = [
        path for path, module in model.named_modules()
        if type(module) is nn.Linear
        and not any(p.requires_grad or id(p) in wide for p in module.parameters())
    ]  # fmt: skip
    if not chosen:
        raise CompatibilityError(
            f"body_dtype={kind.value} is for frozen nn.Linear layers, and {type(model).__name__} "
            "has none; take body_dtype=bfloat16"
        )
    for path in chosen:
        parent, _, name = path.rpartition(".")
        holder = model.get_submodule(parent)
        made = _layer(library, getattr(holder, name), kind)
        setattr(holder, name, made.train(holder.training))
    return len(chosen)


def _layer(library: Any, old: nn.Linear, kind: BodyType) -> nn.Module:
    place, options = old.weight.device, {"bias": old.bias is not None, "device": "meta"}
    size, weight = (old.in_features, old.out_features), old.weight.detach()
    if kind is BodyType.nf4:
        made = library.nn.Linear4bit(*size, quant_type="nf4", **options)
        made.weight = library.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
        # else 0.50 repacks weights of some sizes in place, on some CPUs, where nothing is trained
        made.support_avx512bf16_for_cpu = False
    else:
        made = library.nn.Linear8bitLt(
            *size, has_fp16_weights=False, threshold=_OUTLIERS, **options
        )
        made.weight = library.nn.Int8Params(weight, requires_grad=False, has_fp16_weights=False)
    made.bias = old.bias
    quantised: nn.Module = made.to(place)
    return quantised


def adamw_8bit(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW whose two moments have 8 bits, in blocks with a scale each; small tensors have 32.

    Args:
        groups: parameters and their decay.
        config: rates and betas.

    Raises:
        CompatibilityError: without bitsandbytes.
    """
    base: Any = _bitsandbytes("optimizer=adamw8bit").optim.AdamW8bit

    class Resumable(base):  # type: ignore[misc]
        """Its step number is a tensor in a checkpoint, and a plain number in the library.

        On a CPU the library widens both moments of a whole tensor, and makes more such tables
        (findings/bitsandbytes_cpu_adam.sh); by runs of blocks the numbers are the same.
        """

        def update_step(self, group: Any, p: Any, gindex: int, pindex: int) -> None:
            state = self.state[p]
            state["step"] = step = int(state["step"])
            if p.device.type != "cpu" or state["state1"].dtype is not torch.uint8:
                super().update_step(group, p, gindex, pindex)
                return
            weights, grad = p.data.view(-1), p.grad.reshape(-1)
            for start in range(0, len(weights), _RUN):
                part = slice(start, start + _RUN)
                run = nn.Parameter(weights[part])
                run.grad = grad[part]
                self.state[run] = _own_part(state, part)
                super().update_step(group, run, gindex, pindex)
                del self.state[run]
            state["step"] = step + 1

    made: torch.optim.Optimizer = Resumable(
        groups, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps
    )
    return made


def _own_part(state: dict[str, Any], part: slice) -> dict[str, Any]:
    """Views of the state of some of a tensor's blocks."""
    blocks = slice(part.start // _BLOCK, part.stop // _BLOCK)
    moments = {name: state[name].view(-1)[part] for name in ("state1", "state2")}
    return {**state, **moments, **{name: state[name][blocks] for name in ("absmax1", "absmax2")}}


def _bitsandbytes(asked: str) -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise CompatibilityError(
            f"{asked} needs bitsandbytes: pip install 'franken[quantised]'"
        ) from error
    return bitsandbytes
