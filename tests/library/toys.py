"""A base, its tokenizer, a target tokenizer and text: small enough to make at once."""

import copy
from functools import cache
from typing import Any

import torch

import franken
from tests.init_method.texts import ENGLISH, LEXICON, SWAHILI
from tests.parts.tiny import tiny_model, tiny_tokenizer

WORDS = LEXICON["sw"]
SENTENCES = list(zip(ENGLISH, SWAHILI, strict=False))


@cache
def base(tied: bool = True) -> tuple[Any, Any]:
    return tiny_model("llama", tied=tied, rows=96), tiny_tokenizer(size=96)


@cache
def target() -> Any:
    return franken.build_vocab(base()[1], "scratch", texts=SWAHILI, source_texts=ENGLISH, size=300)


def tuned(model: Any, size: float = 0.01) -> Any:
    """A relative: every weight of the copy moved a little."""
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return twin


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
