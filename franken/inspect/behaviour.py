"""What a model does with the rows of its tokens: who takes probability that it should not have.

A row can look ordinary by its norm and direction and still win wherever it is put (arXiv
2601.00065). What tells is the gap between the model with the row and the model it came from: a
token that spells " nyumba" should be about as likely as the base finds its first piece " ny" there,
at most. A token that is far likelier has a row that was not made for its text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.tokenizer.pieces import canonical_bytes, encode_pieces, vocabulary_overlap

FACTOR = 4.0
"""Times the probability that the base gives to the same text, from which a row takes over. Of 2,000
sound new rows on SmolLM2 none had more than 1.5 times it, a copy of the row of " the" 9.8 times."""
FLOOR = 2e-3
"""Mean probability below which no row is said to take over."""
PROMPTS = (
    "The house stands by the river, and in the morning the children walk to school.",
    "She bought bread, milk and three apples at the market before it closed.",
    "In 1998 the town had about 12,000 inhabitants; today there are more.",
    "Please write a short answer to the following question:",
    "def add(a, b):\n    return a + b\n",
    "El tren sale a las ocho y llega por la tarde.",
    "Das Wetter war gut, also gingen wir zu Fuß nach Hause.",
    "Watoto wanasoma vitabu shuleni kila siku.",
    "Город стоит на берегу большой реки.",
    "குழந்தைகள் பள்ளிக்குச் செல்கிறார்கள்.",
)
"""Neutral text of several languages and forms."""


@dataclass(frozen=True)
class Preferences:
    """Means over all positions of some text, by token id."""

    mean: np.ndarray
    """``(T,)`` mean next-token probability."""
    highest: np.ndarray
    """``(T,)`` highest one."""
    first: np.ndarray
    """``(T,)`` share of positions at which the token is the likeliest."""


@torch.no_grad()
def preferences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str] = PROMPTS
) -> Preferences:
    """Next-token probabilities after every prefix of some text."""
    count, total, highest, first = 0, *(np.zeros(1) for _ in range(3))
    for prompt in prompts:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        if not ids.numel():
            continue
        chances = model(input_ids=ids).logits[0].float().softmax(-1)
        total = total + chances.sum(0).double().numpy()
        highest = np.maximum(highest, chances.amax(0).numpy())
        first = first + np.bincount(chances.argmax(-1).numpy(), minlength=chances.shape[1])
        count += len(chances)
    return Preferences(total / count, highest, first / count)


@dataclass(frozen=True)
class Takeover:
    """A token that is likelier than its text was to the base."""

    index: int
    token: str
    mean: float
    expected: float
    """What the base gives to the token, or to the first of the pieces that it cuts the text into.
    """
    highest: float
    first: float


def takeovers(
    found: Preferences,
    tokenizer: PreTrainedTokenizerBase,
    base: Preferences,
    base_tokenizer: PreTrainedTokenizerBase,
    *,
    factor: float = FACTOR,
    floor: float = FLOOR,
) -> list[Takeover]:
    """Tokens that a model likes far better than its base likes their text, the worst first."""
    expected = expectations(tokenizer, base.mean, base_tokenizer)
    names = {index: token for token, index in tokenizer.get_vocab().items()}
    listed = [
        Takeover(
            index, names[index], float(found.mean[index]), float(expected[index]),
            float(found.highest[index]), float(found.first[index]),
        )
        for index in np.nonzero(found.mean > floor)[0].tolist()
        if index in names and found.mean[index] > factor * expected[index]
    ]  # fmt: skip
    return sorted(listed, key=lambda item: -item.mean)


def expectations(
    tokenizer: PreTrainedTokenizerBase,
    base_mean: np.ndarray,
    base_tokenizer: PreTrainedTokenizerBase,
) -> np.ndarray:
    """``(T,)`` what the base gives to each token's text: to itself, or to its first piece."""
    expected = np.zeros(max(tokenizer.get_vocab().values()) + 1)
    shared = vocabulary_overlap(base_tokenizer, tokenizer)
    expected[list(shared)] = base_mean[list(shared.values())]
    table = canonical_bytes(tokenizer)
    fresh = [index for index, data in enumerate(table) if data and index not in shared]
    pieces = encode_pieces(base_tokenizer, [table[index] or b"" for index in fresh])
    for index, ids in zip(fresh, pieces, strict=True):
        if ids:
            expected[index] = base_mean[ids[0]]
    return expected
