"""A model with packs and a router, seen by the evaluation as one model.

States of all experts that have a weight are carried side by side; the head mixes their
predictions, ``p = sum_e g_e p_e``. With one expert of weight 1 that is this expert's own
prediction, so top-1 routing loses nothing to the mixing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from franken.eval_suite.readout import Readout, read_out
from franken.router.base import RouterFeature, RouterLevel
from franken.skillpack.experts import Experts
from franken.skillpack.router import PackRouter, features_of, pooled


@dataclass
class _Cache:
    """Key-value caches of the experts, each with the rows of the batch that it serves."""

    gates: Tensor
    """``(B, E)``; of a token router: who may act at all."""
    rows: dict[int, Tensor]
    caches: dict[int, Any]
    feature: Any
    """Cache of the model without packs, where a token router needs one."""

    def batch_select_indices(self, indices: Tensor) -> None:
        """Take these rows of the batch, with repetition."""
        for expert, rows in list(self.rows.items()):
            mine = torch.isin(indices, rows)
            local = torch.searchsorted(rows, indices[mine])
            self.rows[expert] = mine.nonzero().flatten()
            self.caches[expert].batch_select_indices(local)
            if not len(local):
                del self.rows[expert], self.caches[expert]
        if self.feature is not None:
            self.feature.batch_select_indices(indices)
        self.gates = self.gates[indices]


@dataclass
class _Output:
    states: Tensor
    past_key_values: Any


class RoutedModel:
    """Experts and the router between them."""

    def __init__(self, experts: Experts, router: PackRouter) -> None:
        if router.experts != experts.names:
            raise ValueError(f"router for {router.experts}, experts are {experts.names}")
        self.experts, self.router = experts, router.to(next(experts.model.parameters()).device)
        self._plain = read_out(experts.model)
        self._size = experts.model.get_output_embeddings().weight.shape[1]

    @property
    def generation_config(self) -> Any:
        """The model's."""
        return self.experts.model.generation_config

    @property
    def training(self) -> bool:
        """Mode of the model."""
        return bool(self.experts.model.training)

    def train(self, mode: bool = True) -> "RoutedModel":
        """Set the model's mode."""
        self.experts.model.train(mode)
        return self

    def modules(self) -> Iterator[nn.Module]:
        """The model's."""
        return iter(self.experts.model.modules())

    def eval(self) -> "RoutedModel":
        """Evaluation mode."""
        return self.train(False)

    def to(self, device: Any) -> "RoutedModel":
        """Only where it is already: the merged tensors do not move.

        Raises:
            ValueError: for another device.
        """
        if torch.device(device).type != next(self.experts.model.parameters()).device.type:
            raise ValueError(f"move the model to {device} before its experts are made")
        return self

    def readout(self) -> Readout:
        """What the evaluation runs."""
        return replace(
            self._plain, run=self.run, states=lambda out: out.states, logits=self.logits,
            whole_logits=False, gate_prefix=self._gate_prefix(),
        )  # fmt: skip

    def _gate_prefix(self) -> int | None:
        """Weights of tokens depend on their past alone, those of requests on what they show."""
        config = self.router.config
        return None if config.level is RouterLevel.token else config.prefix_tokens

    def run(
        self, *, input_ids: Tensor, attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None, past_key_values: Any = None, use_cache: bool = False,
        seen: Tensor | None = None,
    ) -> _Output:  # fmt: skip
        """Forward pass of every expert that has a weight, on the rows for which it has one.

        Args:
            input_ids: ``(B, L)``; the first call's are the prompts, of which a router per request
                sees all that the mask counts.
            attention_mask: as transformers takes it.
            position_ids: likewise.
            past_key_values: of the call before; its weights per request stay.
            use_cache: keep what the next call needs.
            seen: ``(B,)`` tokens at the front of each row that a router per request sees, where
                rows go on with what is to be scored.

        Returns:
            States ``(B, L, E * D + E)``: the experts' states, then their weights.
        """
        shared = {"attention_mask": attention_mask, "position_ids": position_ids}
        cache: _Cache | None = past_key_values
        gates, feature = self._gates(input_ids, shared, cache, use_cache, seen)
        batch, length = input_ids.shape
        count = len(self.experts)
        acting = gates.amax(dim=1) > 0  # (B, E)
        caches: dict[int, Any] = {}
        rows: dict[int, Tensor] = {}
        blocks: Tensor | None = None
        for expert in range(count):
            if self.router.config.level is RouterLevel.token:
                mine = torch.arange(batch, device=input_ids.device)
            else:
                mine = acting[:, expert].nonzero().flatten()
            if not len(mine):
                continue
            own = {k: v[mine] for k, v in shared.items() if v is not None}
            past = cache.caches.get(expert) if cache is not None else None
            with self.experts.acting(expert):
                output = self._plain.run(
                    input_ids=input_ids[mine], past_key_values=past, use_cache=use_cache, **own
                )
            states = self._plain.states(output)
            if blocks is None:
                shape = (batch, length, count * self._size)
                blocks = states.new_zeros(shape)
            blocks[mine, :, expert * self._size : (expert + 1) * self._size] = states
            rows[expert], caches[expert] = mine, output.past_key_values
        assert blocks is not None
        kept = _Cache(gates[:, -1], rows, caches, feature) if use_cache else None
        return _Output(torch.cat([blocks, gates.to(blocks.dtype)], dim=2), kept)

    def logits(self, states: Tensor) -> Tensor:
        """``(N, E * D + E)`` states to ``(N, V)`` mixed predictions."""
        count = len(self.experts)
        gates = states[:, count * self._size :].float()
        single = gates.amax(dim=1) >= 1 - 1e-6
        result: Tensor | None = None
        mixed: Tensor | None = None
        for expert in range(count):
            weight = gates[:, expert]
            if not bool((weight > 0).any()):
                continue
            own = states[:, expert * self._size : (expert + 1) * self._size]
            with self.experts.acting(expert):
                logits = self._plain.logits(own)
            if result is None:
                result, mixed = torch.zeros_like(logits), torch.zeros_like(logits)
            result = torch.where((single & (weight > 0.5))[:, None], logits, result)
            if not bool(single.all()):
                assert mixed is not None
                mixed = mixed + weight[:, None] * logits.softmax(dim=1)
        assert result is not None
        assert mixed is not None
        if bool(single.all()):
            return result
        return torch.where(single[:, None], result, mixed.clamp(min=1e-30).log())

    def _gates(
        self, input_ids: Tensor, shared: dict[str, Any], cache: _Cache | None, use_cache: bool,
        seen: Tensor | None,
    ) -> tuple[Tensor, Any]:  # fmt: skip
        """``(B, L, E)`` weights and the cache of the feature pass."""
        config = self.router.config
        batch, length = input_ids.shape
        if config.level is RouterLevel.sequence and cache is not None:
            return cache.gates[:, None].expand(batch, length, -1), None
        inputs: dict[str, Any] = {"input_ids": input_ids}
        if config.feature is RouterFeature.hidden:
            inputs |= {k: v for k, v in shared.items() if v is not None}
            inputs["use_cache"] = use_cache
        past = cache.feature if cache is not None else None
        states, feature = features_of(self.experts.model, config, past=past, **inputs)
        if config.level is RouterLevel.token:
            return self.router.gates(states), feature
        mask = shared["attention_mask"]
        if mask is None:
            mask = torch.ones_like(input_ids)
        if seen is not None:
            mask = mask * (torch.arange(length, device=input_ids.device) < seen[:, None])
        gates = self.router.gates(pooled(states, mask[:, -length:]))
        return gates[:, None].expand(batch, length, -1), None
