"""Batches whose text a model in training writes itself, for distillation on its own text."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from franken.decoding import Decoding, Ends, Strategy, decode
from franken.distillation.base import Distillation
from franken.training.batches import Batch, completed, padded_rows
from franken.training.loss import IGNORED


def written(
    network: Any, batch: Batch, options: Distillation, *, seed: int, ends: frozenset[int],
    writable: int,
) -> Batch:  # fmt: skip
    """The beginnings of a batch's rows, each continued by sampling.

    Args:
        network: the model as the decoder sees it.
        batch: rows of packed documents.
        options: how much is read and written.
        seed: of the draws.
        ends: ids that end a text; the one that was chosen is not part of it.
        writable: ids from here on are never chosen.

    Returns:
        A complete batch of as many rows, one document each; labels are on what was sampled.
    """
    prompts = [
        row[: options.rollout_prompt][segments[: options.rollout_prompt] == segments[0]].tolist()
        for row, segments in zip(batch["input_ids"], batch["segment_ids"], strict=True)
    ]
    how = Decoding(Strategy.sample, max_new_tokens=options.rollout_tokens, seed=seed)
    found = decode(network, prompts, how, ends=Ends(ends), writable=writable)
    rows = [prompt + made.ids for prompt, made in zip(prompts, found, strict=True)]
    ids, segments = padded_rows(rows)
    labels = ids.masked_fill(segments == 0, IGNORED)
    for at, prompt in enumerate(prompts):
        labels[at, : len(prompt)] = IGNORED
    return completed({"input_ids": ids, "segment_ids": segments, "labels": labels})


class WritingModel:
    """A causal model in training, as the decoder sees it."""

    positions = None

    def __init__(
        self, backbone: Any, embedding: Any, logits: Callable[[Tensor], Tensor],
        narrow: torch.dtype | None,
    ) -> None:  # fmt: skip
        """Args: ``narrow``: the body's dtype where the embedding's rows are wider than it."""
        self._backbone, self._embedding, self._narrow = backbone, embedding, narrow
        self.logits = logits
        self.device: torch.device = embedding.weight.device

    def run(self, *, input_ids: Tensor, **given: Any) -> Any:
        """Forward pass of the body."""
        rows = self._embedding(input_ids)
        rows = rows if self._narrow is None else rows.to(self._narrow)
        # What autocast keeps of weights here, without gradients, must not serve the training.
        mixed = self._narrow is not None or torch.is_autocast_enabled(rows.device.type)
        with torch.autocast(rows.device.type, torch.bfloat16, enabled=mixed, cache_enabled=False):
            return self._backbone(inputs_embeds=rows, **given)

    def states(self, output: Any) -> Tensor:
        """States before the head."""
        states: Tensor = output.last_hidden_state
        return states
