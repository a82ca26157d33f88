"""LoRA on the attention projections of a frozen model (Franken-Adapter 2.7), by peft."""

import logging
import warnings
from typing import Any

import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from franken.config.training import LoraConfig
from franken.parts.anatomy import Anatomy

log = logging.getLogger(__name__)

LORA_MARK = "lora_"
"""Part of the name of every LoRA parameter."""


def add_lora(model: PreTrainedModel, anatomy: Anatomy, config: LoraConfig, *, seed: int) -> Any:
    """Insert adapters into ``model`` in place; embeddings and head never get one.

    Args:
        model: a causal LM; its attention modules are replaced by wrapped ones.
        anatomy: says which module carries which projection.
        config: rank, alpha, dropout and the roles that get an adapter.
        seed: of the random half of the adapters; the global generators stay as they were.

    Returns:
        The ``PeftModel`` around ``model``.
    """
    targets = lora_targets(anatomy, config.targets)
    layer = model.get_submodule(f"{anatomy.layers}.0")
    transposed = any(isinstance(layer.get_submodule(t), Conv1D) for t in targets)
    alpha = config.alpha if config.alpha is not None else config.rank
    peft_config = PeftLoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides: any number will do
        lora_dropout=config.dropout,
        target_modules=targets,
        fan_in_fan_out=transposed,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        torch.manual_seed(seed)
        adapted = get_peft_model(model, peft_config)
    adapted.peft_config["default"].base_model_name_or_path = None  # would be a path of this machine
    return adapted


def lora_targets(anatomy: Anatomy, roles: list[str]) -> list[str]:
    """Module suffixes inside a layer for the roles, each once; fused projections count whole."""
    targets = sorted({anatomy.attention[role] for role in roles})
    for target in targets:
        carried = sorted(role for role, name in anatomy.attention.items() if name == target)
        extra = sorted(set(carried) - set(roles))
        if extra:
            log.warning(
                "%s carries %s in one matrix: LoRA on it also adapts %s",
                target,
                "".join(carried),
                ", ".join(extra),
            )
    return targets


def lora_modules(model: nn.Module) -> list[nn.Module]:
    """The dropouts and matrices of all adapters, without the frozen layers that they wrap."""
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, LoraLayer):
            found += [module.lora_dropout, module.lora_A, module.lora_B]
    return found
