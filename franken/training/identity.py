"""What makes two calls the same training run, so that one may continue the other."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from franken.config.trainer import Precision
from franken.config.training import TrainingConfig
from franken.distillation.base import Distillation
from franken.files import hash_json
from franken.preference.base import Preference
from franken.training.policy import PolicyReport

_NEUTRAL = ("checkpoint_every", "checkpoint_minutes", "activation_checkpointing")
"""Settings that may change between a killed run and its continuation."""


def run_identity(
    model: PreTrainedModel,
    policy: PolicyReport,
    config: TrainingConfig,
    precision: Precision,
    seed: int,
    samples: int = 1024,
    preference: Preference | None = None,
    masks: Sequence[Tensor] = (),
    distillation: Distillation | None = None,
    pairs: Mapping[str, Any] | None = None,
) -> str:
    """Hash of what decides the result: settings, seed, and a sample of the initial weights."""
    settings = {k: v for k, v in asdict(config).items() if k not in _NEUTRAL}
    if not config.ahead:
        del settings["ahead"]  # runs that were killed before it was there go on
    weights = {}
    for name, parameter in model.named_parameters():
        flat = parameter.detach().flatten()
        stride = max(1, math.ceil(flat.numel() / samples))
        weights[name] = [list(parameter.shape), flat[::stride].double().sum().item()]
    return hash_json(
        {
            "settings": settings,
            "policy": policy.to_json(),
            "names": policy.names,
            "precision": precision.value,
            "seed": seed,
            "weights": weights,
            **({} if preference is None else {"preference": asdict(preference)}),
            **({"masks": _digest(masks)} if masks else {}),
            **({} if distillation is None else {"distillation": distillation.content()}),
            **({} if pairs is None else {"pairs": pairs}),
        }
    )


def _digest(masks: Sequence[Tensor]) -> str:
    found = hashlib.sha256()
    for mask in masks:
        found.update(np.packbits(mask.cpu().numpy()).tobytes())
    return found.hexdigest()
