"""Several heads that label together, each by its weight (UniBridge's ensemble over sources)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.errors import CompatibilityError
from franken.parts.label_head import LabelHead
from franken.parts.label_set import LabelSet


@dataclass(frozen=True)
class HeadEnsemble:
    """Heads on models of one vocabulary; seen from outside it is one head.

    Attributes:
        heads: each on a model of its own.
        weights: of each.
    """

    heads: tuple[LabelHead, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse heads of texts beside heads of words.

        Raises:
            CompatibilityError: with what each labels.
        """
        units = {head.labels.unit for head in self.heads}
        if len(units) > 1:
            raise CompatibilityError(
                f"heads that label together label each {' and each '.join(sorted(units))}; take "
                "heads of one task"
            )

    @property
    def labels(self) -> LabelSet:
        """What any of them tells apart: a language may lack articles, and so their label."""
        names = dict.fromkeys(name for head in self.heads for name in head.labels.names)
        return LabelSet(self.heads[0].labels.unit, tuple(names))

    def logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``sum_s w_s logits_s``; a label that a head does not know is its least likely one."""
        names = self.labels.names
        pairs = zip(self.heads, self.weights, strict=True)
        parts = []
        for head, weight in pairs:
            own, known = head.logits(input_ids, attention_mask), head.labels.index()
            columns = [known.get(name) for name in names]
            least = own.amin(-1)
            parts.append(
                weight * torch.stack([least if at is None else own[..., at] for at in columns], -1)
            )
        return torch.stack(parts).sum(0)


def distance_weights(distances: Mapping[str, float]) -> dict[str, float]:
    """``softmax(1 / d_s)``: near ones count more.

    Args:
        distances: of each source language from the target, above 0.
    """
    inverse = torch.tensor([1.0 / max(value, 1e-9) for value in distances.values()]).double()
    return dict(zip(distances, inverse.softmax(0).tolist(), strict=True))


def mean_states(
    model: PreTrainedModel, tokenizer: Any, texts: Sequence[str], *, longest: int
) -> Tensor:
    """``(N, D)`` last states of the body, each text's mean over its tokens.

    Args:
        model: a masked language model, with the adapters that are to act.
        tokenizer: its own.
        texts: N of them.
        longest: tokens at most.
    """
    body: Any = getattr(model, model.base_model_prefix)
    found = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, truncation=True, max_length=longest, return_tensors="pt")
            inputs = {key: ids[key].to(model.device) for key in ("input_ids", "attention_mask")}
            found.append(body(**inputs).last_hidden_state[0].mean(0).float().cpu())
    return torch.stack(found)


def mean_distance(one: Tensor, other: Tensor) -> float:
    """Mean Euclidean distance of the rows of ``(N, D)``, translations of each other."""
    return float((one - other).norm(dim=1).mean())
