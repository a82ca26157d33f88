"""The one decoder: greedy, beams and sampling over batches of prompts, with a set of ends.

Evaluation, sampled answers, back-translation and Hydra LLMs continue prompts by ``decode``. The
prompt holds ids of any table that the model reads; what is generated are ids of the written one,
which come first in the common space and so need no translation on their way back in.
"""

from collections.abc import Sequence

import torch

from franken.decoding.beams import beam_search
from franken.decoding.ends import Ends, stop_ids
from franken.decoding.one_by_one import one_by_one
from franken.decoding.options import Decoding, Strategy, Written
from franken.decoding.stepper import Network, Stepper, WholeModel, left_padded
from franken.errors import DataError

__all__ = [
    "Decoding",
    "Ends",
    "Network",
    "Strategy",
    "WholeModel",
    "Written",
    "decode",
    "left_padded",
    "stop_ids",
]


def decode(
    network: Network,
    prompts: Sequence[Sequence[int]],
    options: Decoding,
    *,
    ends: Ends,
    writable: int,
) -> list[Written]:
    """Continue a batch of prompts, padded on the left.

    Args:
        network: the model.
        prompts: ids of the common space, control tokens included.
        options: how.
        ends: what ends a continuation.
        writable: ids from here on are never chosen (padding rows, tables that are only read).

    Returns:
        One continuation per prompt; none for no prompt.

    Raises:
        DataError: for an empty prompt, or one that leaves no room for ``max_new_tokens``.
    """
    if not prompts:
        return []
    for place, prompt in enumerate(prompts):
        if not prompt:
            raise DataError(f"prompt {place + 1} of {len(prompts)} is empty; nothing to continue")
    search = beam_search if options.strategy is Strategy.beam else one_by_one
    with torch.inference_mode():
        return search(Stepper(network, prompts, options, writable), options, ends)
