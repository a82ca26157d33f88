"""A model without some of its layers."""

from collections.abc import Collection
from typing import Any

from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
)

from franken.errors import ConfigError
from franken.families.objective import is_masked
from franken.parts.anatomy import anatomy_of, text_config


def without_layers(model: PreTrainedModel, drop: Collection[int]) -> PreTrainedModel:
    """A copy of a model that lacks some layers; the others keep their order.

    Tensors are told apart by name, not by a dimension that happens to have the same size.

    Args:
        model: causal or masked, without adapters.
        drop: numbers of layers, from 0.

    Raises:
        ConfigError: for a layer that is not there, or where none would stay.
    """
    config: PretrainedConfig = type(model.config).from_dict(model.config.to_dict())
    text = text_config(config)
    count = int(text.num_hidden_layers)
    beyond = sorted(layer for layer in drop if not 0 <= layer < count)
    if beyond or len(set(drop)) >= count:
        raise ConfigError(
            f"drop_layers: {sorted(drop)} of {count} layers, counted from 0; at least one stays"
        )
    kept = [layer for layer in range(count) if layer not in set(drop)]
    text.num_hidden_layers = len(kept)
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == count:  # layer_types and the like
            setattr(text, name, [value[layer] for layer in kept])
    place = {str(layer): str(new) for new, layer in enumerate(kept)}
    prefix = f"{anatomy_of(model.config).layers}."
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        if not name.startswith(prefix):
            weights[name] = tensor
        elif number in place:
            weights[f"{prefix}{place[number]}.{rest}"] = tensor
    kind: Any = AutoModelForMaskedLM if is_masked(model.config) else AutoModelForCausalLM
    smaller: PreTrainedModel = kind.from_config(config, dtype=model.dtype)
    smaller.load_state_dict(weights)
    if hasattr(model, "generation_config"):  # masked models have none
        smaller.generation_config = model.generation_config
    smaller.eval()
    return smaller
