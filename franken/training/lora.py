"""LoRA on linear layers of a frozen model (Franken-Adapter 2.7), by peft."""

import logging
import re
import warnings
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from franken.config.training import LoraConfig
from franken.errors import CompatibilityError, ConfigError
from franken.parts.anatomy import Anatomy

log = logging.getLogger(__name__)

LORA_MARK = "lora_"
"""Part of the name of every LoRA parameter."""


def add_lora(model: PreTrainedModel, anatomy: Anatomy, config: LoraConfig, *, seed: int) -> Any:
    """Insert adapters into ``model`` in place; embeddings and head never get one.

    Args:
        model: a causal or masked LM; the adapted modules are replaced by wrapped ones.
        anatomy: says which module carries which role.
        config: rank, alpha, dropout and the roles that get an adapter.
        seed: of the random half of the adapters; the global generators stay as they were.

    Returns:
        The ``PeftModel`` around ``model``.
    """
    from peft import LoraConfig as PeftLoraConfig  # a second and 50 MB, for LoRA alone
    from peft import get_peft_model

    targets = lora_targets(anatomy, config.targets)
    found = _carriers(model, anatomy, targets)
    edges = None
    if config.first is not None or config.last is not None:
        edges = edge_indices(model, anatomy, config.first or 0, config.last or 0)
        found = {path: m for path, m in found.items() if _layer_of(path, anatomy) in edges}
    transposed = any(isinstance(module, Conv1D) for module in found.values())
    alpha = config.alpha if config.alpha is not None else config.rank
    peft_config = PeftLoraConfig(
        task_type=None if anatomy.masked else "CAUSAL_LM",
        r=config.rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides: any number will do
        lora_dropout=config.dropout,
        target_modules=_narrowed(model, anatomy, targets, found, edges),
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
    """Module suffixes inside a layer for the roles, each once; fused projections count whole.

    Roles that the family lacks (``gate``) get none.

    Raises:
        CompatibilityError: where it has none of them.
    """
    modules = {**anatomy.attention, **anatomy.feed_forward}
    targets = sorted({modules[role] for role in roles if role in modules})
    if not targets:
        raise CompatibilityError(
            f"no linear layer of {anatomy.family} is known as {', '.join(roles)}; lora.targets can "
            f"name {', '.join(modules) or 'none'} here"
        )
    for target in targets:
        carried = sorted(role for role, name in modules.items() if name == target)
        extra = sorted(set(carried) - set(roles))
        if extra:
            log.warning(
                "%s carries %s in one matrix: LoRA on it also adapts %s",
                target,
                "".join(carried),
                ", ".join(extra),
            )
    return targets


def edge_indices(model: nn.Module, anatomy: Anatomy, first: int, last: int) -> list[int]:
    """Indices of the first and last layers, ascending, each once.

    Raises:
        ConfigError: where they are more than the model has.
    """
    count = len(list(model.get_submodule(anatomy.layers).children()))
    if first + last > count:
        raise ConfigError(
            f"lora.first={first} and lora.last={last} are {first + last} layers, the model has "
            f"{count}; lower them, or leave both null for all layers"
        )
    return sorted({*range(first), *range(count - last, count)})


def _layer_of(path: str, anatomy: Anatomy) -> int:
    return int(path.removeprefix(f"{anatomy.layers}.").partition(".")[0])


def _carriers(model: nn.Module, anatomy: Anatomy, targets: list[str]) -> dict[str, nn.Module]:
    """Path -> module, of all layers; hybrid models have layers without such projections.

    Raises:
        CompatibilityError: where no layer has one of them.
    """
    layers = dict(model.get_submodule(anatomy.layers).named_children())
    found, without = {}, set(layers)
    for index, layer in layers.items():
        inside = dict(layer.named_modules())
        for target in targets:
            if target in inside:
                found[f"{anatomy.layers}.{index}.{target}"] = inside[target]
                without.discard(index)
    for target in targets:
        if not any(path.endswith(f".{target}") for path in found):
            raise CompatibilityError(
                f"no layer of this {anatomy.family} model has {target!r}; LoRA adapts projections "
                "that are there"
            )
    if without:
        log.warning(
            "%d of %d layers have none of %s (layers of another kind) and get no adapter",
            len(without), len(layers), ", ".join(targets),
        )  # fmt: skip
    return found


def _narrowed(
    model: nn.Module, anatomy: Anatomy, targets: list[str], found: dict[str, nn.Module],
    layers: list[int] | None = None,
) -> list[str] | str:  # fmt: skip
    """What peft is given: ends of paths, or a pattern where other modules have the same ends.

    ``layers``: indices of those that get an adapter; ``None``: all.
    """
    ends = tuple(f".{target}" for target in targets)
    if not any(p.endswith(ends) and p not in found for p, _ in model.named_modules()):
        return targets
    options = "|".join(map(re.escape, targets))
    indices = r"\d+" if layers is None else f"({'|'.join(map(str, layers))})"
    return rf"{re.escape(anatomy.layers)}\.{indices}\.({options})"


def lora_modules(model: nn.Module) -> list[nn.Module]:
    """The dropouts and matrices of all adapters, without the frozen layers that they wrap."""
    from peft.tuners.lora import LoraLayer

    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, LoraLayer):
            found += [module.lora_dropout, module.lora_A, module.lora_B]
    return found
