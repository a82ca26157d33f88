"""Random models of every family with a few layers, and samples for them."""

from functools import cache
from typing import Any

import torch

from franken.inference.xtransplant import Donor, Host, Task, open_host
from tests.parts.tiny import tiny_model

ROWS = 64
WINDOWED = ("mistral", "gemma2", "gemma3_text", "cohere2")
"""Families that are given a sliding window shorter than the prompts."""
_DEPTH = {"gpt2": "n_layer", "gptj": "n_layer", "xglm": "num_layers"}


# norms around one and larger matrices than usual: a transplant then changes tokens
@cache
def small_host(family: str, *, layers: int = 3, tied: bool = True, **settings: Any) -> Host:
    depth = {_DEPTH.get(family, "num_hidden_layers"): layers}
    window = {"sliding_window": 6} if family in WINDOWED else {}
    model = tiny_model(family, tied=tied, rows=ROWS, **depth, **window, **settings)
    centred = family.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and name.endswith("weight") and not centred:
                parameter.add_(1.0)
            if parameter.ndim == 2 and "embed" not in name and "wte" not in name:
                parameter.mul_(2.0)
    return open_host(model)


def some_prompt(length: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, ROWS, (length,), generator=generator)


def some_task(target: int = 11, donor: int = 9, seed: int = 0, **rest: Any) -> Task:
    return Task(some_prompt(target, seed), Donor(some_prompt(donor, seed + 1)), **rest)
