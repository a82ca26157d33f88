"""Deltas: changes beside a body: LoRA in PEFT's format, bottleneck adapters, fusions, SkillPacks.

A delta directory holds ``delta.json`` with its ``kind``; other kinds join by an entry in
``apply_delta``.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)
from peft.tuners.lora import LoraLayer
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.parts import adapter_files, fusion, safetensors_file, skillpack
from franken.parts.description import read_described
from franken.parts.mount import Mounts

DESCRIPTION_FILE = "delta.json"
SCHEMA = 1
_SCHEMAS = {
    "lora": SCHEMA, adapter_files.KIND: SCHEMA, fusion.KIND: SCHEMA,
    skillpack.KIND: skillpack.SCHEMA,
}  # fmt: skip
_PREFIX = "base_model.model."  # PEFT's files name tensors from its wrapper; models lack it


def save_lora(
    model: PreTrainedModel | PeftModel,
    directory: Path,
    *,
    adapter: str = "default",
    body: str | None = None,
) -> None:
    """Write one LoRA adapter, in the format that PEFT reads, with ``delta.json`` last.

    Args:
        model: a ``PeftModel``, or a model into which PEFT injected an adapter.
        directory: where to; created if need be.
        adapter: name of the adapter inside the model.
        body: fingerprint of the body it was trained on; loading on another one is then refused.
    """
    configs = getattr(model, "peft_config", {})
    if adapter not in configs:
        raise CompatibilityError(
            f"the model has no adapter {adapter!r} (it has: {', '.join(configs) or 'none'})"
        )
    config = configs[adapter]
    _refuse_other_than_plain_lora(config)
    directory.mkdir(parents=True, exist_ok=True)
    weights = get_peft_model_state_dict(model, adapter_name=adapter, save_embedding_layers=False)
    safetensors_file.write_file(
        directory / SAFETENSORS_WEIGHTS_NAME,
        [
            safetensors_file.tensor_entry(_PREFIX + name.removeprefix(_PREFIX), tensor)
            for name, tensor in weights.items()
        ],
        {"format": "pt"},
    )
    config.save_pretrained(str(directory))
    _tidy_config(directory / "adapter_config.json")
    write_json(
        directory / DESCRIPTION_FILE,
        {"kind": "lora", "schema": SCHEMA, "body": body, "rank": config.r},
    )


def load_lora(
    model: PreTrainedModel, directory: Path, *, adapter: str = "default", trainable: bool = False
) -> PreTrainedModel:
    """Put a saved adapter into a model, unmerged.

    The layers are injected in place, so the model keeps its class; several adapters under
    different names add up once ``activate_adapters`` has named them.

    Returns:
        The same model.
    """
    weights_path = directory / SAFETENSORS_WEIGHTS_NAME
    safetensors_file.read_header(weights_path)  # a clear error where the file is damaged
    config = LoraConfig.from_pretrained(str(directory))
    _refuse_other_than_plain_lora(config)
    config.inference_mode = not trainable
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # intended
        inject_adapter_in_model(config, model, adapter_name=adapter)
    weights = {
        name.removeprefix(_PREFIX): tensor for name, tensor in load_file(weights_path).items()
    }
    result: Any = set_peft_model_state_dict(model, weights, adapter_name=adapter)
    missing = [name for name in result.missing_keys if ".lora_" in name and f".{adapter}." in name]
    if missing or result.unexpected_keys:
        raise CompatibilityError(
            f"the adapter in {directory} does not fit the model: "
            f"{(missing or result.unexpected_keys)[0]!r} has no counterpart"
        )
    for name, parameter in model.named_parameters():
        if f".{adapter}." in name and ".lora_" in name:
            parameter.requires_grad_(trainable)
    return model


def activate_adapters(model: PreTrainedModel, adapters: list[str]) -> None:
    """Let these adapters act together, their changes added up."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            present = [name for name in adapters if name in layer.lora_A]
            layer.set_adapter(present, inference_mode=True)


def merge_lora(model: PreTrainedModel | PeftModel) -> PreTrainedModel:
    """Add all active adapters to the weights and remove them, in place.

    ``W + sum_i (alpha_i / r_i) B_i A_i`` is summed in float32 and cast once to the dtype of W.

    Returns:
        The plain model, taken out of PEFT's wrapper if it was in one.
    """
    plain: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    for name, layer in [
        (name, module) for name, module in plain.named_modules() if isinstance(module, LoraLayer)
    ]:
        base: Any = layer.get_base_layer()
        merged = base.weight.detach().float()
        for adapter in layer.active_adapters:
            if adapter in layer.lora_A:
                merged = merged + _delta_weight(layer, adapter)
        base.weight = nn.Parameter(
            merged.to(base.weight.dtype), requires_grad=base.weight.requires_grad
        )
        parent, _, leaf = name.rpartition(".")
        setattr(plain.get_submodule(parent), leaf, base)
    if hasattr(plain, "peft_config"):
        del plain.peft_config
    if hasattr(plain, "_hf_peft_config_loaded"):
        plain._hf_peft_config_loaded = False
    result: PreTrainedModel = plain
    return result


def _delta_weight(layer: Any, adapter: str) -> torch.Tensor:
    """``scaling * B A`` in float32, transposed for GPT-2's Conv1D."""
    a = layer.lora_A[adapter].weight.detach().float()
    b = layer.lora_B[adapter].weight.detach().float()
    delta: torch.Tensor = (b @ a) * layer.scaling[adapter]
    return delta.T if layer.fan_in_fan_out else delta


def read_description(directory: Path) -> dict[str, Any]:
    """Read ``delta.json``; ``ArtifactError`` where the directory holds no delta."""
    return read_described(directory / DESCRIPTION_FILE, "delta", _SCHEMAS)


def apply_delta(
    model: PreTrainedModel, directory: Path, *, name: str, body: str | None = None
) -> PreTrainedModel:
    """Apply a delta of any kind.

    Args:
        model: an assembled model.
        directory: the delta.
        name: what the delta is called inside the model.
        body: fingerprint of the model's body; a delta of another body is refused.
    """
    description = read_description(directory)
    recorded = description.get("body")
    if body and recorded and body != recorded:
        raise CompatibilityError(
            f"the delta in {directory} was trained on body {recorded[:12]}, not on {body[:12]}; "
            "use it with its own body"
        )
    if description["kind"] == skillpack.KIND:
        Mounts.of(model).mount(skillpack.SkillPack(directory), name=name)
        return model
    if description["kind"] == adapter_files.KIND:
        return adapter_files.load_adapter(model, directory, name=name)
    if description["kind"] == fusion.KIND:
        return fusion.load_fusion(model, directory, name=name)
    return load_lora(model, directory, adapter=name)


def _refuse_other_than_plain_lora(config: Any) -> None:
    for setting in ("use_dora", "lora_bias", "modules_to_save"):
        if getattr(config, setting, None):
            raise CompatibilityError(
                f"the adapter uses {setting}={getattr(config, setting)!r}; only plain LoRA on the "
                "body is supported"
            )


def _tidy_config(path: Path) -> None:
    """Keep paths of this machine out, and sets in a fixed order."""
    settings = read_json(path)
    settings["base_model_name_or_path"] = None
    for key in ("target_modules", "exclude_modules"):
        if isinstance(settings.get(key), list):
            settings[key] = sorted(settings[key])
    write_json(path, settings)
