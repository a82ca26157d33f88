"""Training of a hypernetwork on several tasks and languages in turn (Hyper-X)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from franken.config.training import TEXT_TASK, TrainingConfig
from franken.data.collate import IGNORED
from franken.parts.hyper import HyperNetwork
from franken.parts.label_head import LabelHead
from franken.parts.label_set import LabelledUnit
from franken.parts.masked import states_at_head
from franken.seeds import derive_seed
from franken.training.batches import Batch
from franken.training.frozen import descend
from franken.training.masking import TokenMasker
from franken.training.policy import head_of

Pair = tuple[str, str]


@dataclass
class Sources:
    """What is learnt, by pair of task and language: batches that begin anew."""

    labelled: Mapping[Pair, Sequence[Batch]]
    text: Mapping[Pair, Sequence[Batch]]
    masker: TokenMasker

    def batches(self, seed: int) -> Iterator[tuple[Pair, Batch]]:
        """A pair drawn evenly for each step, and its next batch; text hidden anew."""
        pairs = [*self.labelled, *self.text]
        generator = torch.Generator().manual_seed(seed)
        seen = dict.fromkeys(pairs, 0)
        while True:
            pair = pairs[int(torch.randint(len(pairs), (), generator=generator))]
            at, seen[pair] = seen[pair], seen[pair] + 1
            if pair in self.labelled:
                own = self.labelled[pair]
                yield pair, own[at % len(own)]
            else:
                own = self.text[pair]
                hidden = self.masker.hide(own[at % len(own)], derive_seed(seed, *pair, at))
                yield pair, hidden


def train_network(
    model: PreTrainedModel, network: HyperNetwork, heads: Mapping[str, LabelHead],
    sources: Sources, training: TrainingConfig, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Train network and heads; the model, which the network acts in, stays as it is.

    Returns:
        Steps done, first and last loss, and the number of weights that trained.
    """
    model.requires_grad_(False).eval()
    moving: list[nn.Parameter] = [*network.parameters()]
    for head in heads.values():
        for parameter in head.parameters().values():
            moving.append(parameter)
    for parameter in moving:
        parameter.requires_grad_(True)

    def loss_of(drawn: tuple[Pair, Batch]) -> Tensor:
        (task, language), batch = drawn
        network.choose(task, language)
        if task == TEXT_TASK:
            return text_loss(model, batch)
        return label_loss(heads[task], batch)

    report = descend(moving, training, sources.batches(seed), loss_of)
    return {**report, "weights": sum(p.numel() for p in moving)}


def text_loss(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Mean nats of hidden tokens."""
    states = states_at_head(model, batch["input_ids"], (batch["segment_ids"] > 0).long())
    weight, bias = head_of(model)
    counted = batch["labels"] != IGNORED
    logits = F.linear(states[counted], weight, bias)
    total = F.cross_entropy(logits, batch["labels"][counted], reduction="sum")
    mean: Tensor = total / counted.sum().clamp(min=1)
    return mean


def label_loss(head: LabelHead, batch: Batch) -> Tensor:
    """Mean nats of labels of texts or words."""
    logits = head.logits(batch["input_ids"], (batch["segment_ids"] > 0).long())
    whole = head.labels.unit is LabelledUnit.sentence
    wanted = batch["labels"][:, 0] if whole else batch["labels"].flatten()
    rows = logits.view(len(wanted), -1)
    loss: Tensor = F.cross_entropy(rows, wanted, ignore_index=IGNORED)
    return loss
