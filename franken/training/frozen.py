"""A causal model whose weights stay as they are, read with embedding rows from elsewhere."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from franken.config.trainer import Precision, TrainerConfig
from franken.config.training import TrainingConfig
from franken.errors import ConfigError, FrankenError
from franken.parts.anatomy import anatomy_of, logit_scale, logit_softcap
from franken.parts.head_check import check_head
from franken.progress import Lines
from franken.training.loggers import close_loggers
from franken.training.loss import chunked_linear_cross_entropy
from franken.training.masks import AttentionMask, packed_attention_mask
from franken.training.schedule import learning_rate

Pass = TypeVar("Pass")


class FrozenModel:
    """Forward passes through a fixed body; gradients reach the rows that are handed in."""

    def __init__(self, model: PreTrainedModel, trainer: TrainerConfig) -> None:
        self.device = torch.device(trainer.device)
        self.model = model.eval().to(self.device)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        embedding: Any = model.get_input_embeddings()
        embedding.padding_idx = None  # it would block that row's gradient, whatever the table
        self._embedding = embedding
        check_head(model)
        self._body: Any = model.get_submodule(anatomy_of(model.config).backbone)
        self._width = next(self._body.parameters()).dtype
        self._head = logit_softcap(model.config), logit_scale(model.config)
        self._mixed = trainer.precision is Precision.bf16_mixed

    def embed(self, rows: Tensor, ids: Tensor) -> Tensor:
        """What the embedding module makes of ``ids`` if its table were ``rows`` ``(V, D)``."""
        embedded: Tensor = functional_call(self._embedding, {"weight": rows}, (ids,))
        return embedded

    def states(
        self, embedded: Tensor, segments: Tensor, positions: Tensor, *, layer: int = -1
    ) -> Tensor:
        """Hidden states ``(B, L, D)`` of a layer; -1: what the head reads.

        Args:
            embedded: ``(B, L, D)`` from :meth:`embed`.
            segments: ``(B, L)`` document numbers from 1; 0 is padding.
            positions: ``(B, L)``.
            layer: as in ``output_hidden_states``: 0 is the input of the first layer.

        Raises:
            ConfigError: where the model has no such layer.
        """
        mask = packed_attention_mask(self.model.config, segments, self._width)
        output = self.read(embedded, mask, positions, output_hidden_states=layer != -1)
        if layer == -1:
            last: Tensor = output.last_hidden_state
            return last.float()
        count = len(output.hidden_states)
        if not -count <= layer < count:
            raise ConfigError(
                f"layer {layer} does not exist: this model has states {-count}..{count - 1}"
            )
        found: Tensor = output.hidden_states[layer]
        return found.float()

    def read(self, embedded: Tensor, mask: AttentionMask, positions: Tensor, **options: Any) -> Any:
        """One pass of the body, in its own width, under the precision of the run."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._mixed):
            return self._body(
                inputs_embeds=embedded.to(self._width), attention_mask=mask,
                position_ids=positions, use_cache=False, **options,
            )  # fmt: skip

    def logits(self, states: Tensor, rows: Tensor, bias: Tensor | None = None) -> Tensor:
        """Logits of states ``(..., D)`` over a head of ``rows`` ``(V, D)``."""
        softcap, scale = self._head
        made = states @ rows.T if bias is None else states @ rows.T + bias
        made = made * scale
        return made if softcap is None else softcap * torch.tanh(made / softcap)

    def loss(
        self, states: Tensor, rows: Tensor, labels: Tensor, bias: Tensor | None, chunk_tokens: int
    ) -> Tensor:
        """Summed negative log-likelihood of ``labels`` ``(N,)`` after states ``(N, D)``."""
        softcap, scale = self._head
        return chunked_linear_cross_entropy(
            states, rows, labels, bias=bias, softcap=softcap, scale=scale,
            chunk_tokens=chunk_tokens, reduction="sum",
        )  # fmt: skip


def descend(
    parameters: Sequence[nn.Parameter],
    schedule: TrainingConfig,
    passes: Iterable[Pass],
    loss_of: Callable[[Pass], Tensor],
    loggers: Sequence[Logger] = (),
) -> dict[str, Any]:
    """AdamW without decay over ``schedule.steps`` steps of ``accumulate`` passes each.

    Args:
        parameters: what trains.
        schedule: steps, rate, betas, clipping.
        passes: at least ``steps * accumulate`` of them.
        loss_of: the share that one pass has in the loss of its step.
        loggers: told the loss and the rate of every step; closed at the end.

    Returns:
        Steps done, first and last loss.

    Raises:
        FrankenError: where the loss is not finite; the parameters are those before that step.
    """
    optimiser = torch.optim.AdamW(
        parameters, lr=schedule.lr, betas=(schedule.betas[0], schedule.betas[1]),
        eps=schedule.eps, weight_decay=0.0,
    )  # fmt: skip
    losses: list[float] = []
    waiting, lines = iter(passes), Lines("learning rows")
    try:
        for step in range(schedule.steps):
            loss = _step(parameters, schedule, optimiser, step, waiting, loss_of)
            losses.append(loss)
            lines("", step + 1, schedule.steps)
            for logger in loggers:
                rate = learning_rate(schedule, step)
                logger.log_metrics({"train/loss": loss, "train/lr": rate}, step=step + 1)
    finally:
        close_loggers(loggers)
    ends = {"first_loss": losses[0], "last_loss": losses[-1]} if losses else {}
    return {"steps": len(losses), **ends}


def _step(
    parameters: Sequence[nn.Parameter],
    schedule: TrainingConfig,
    optimiser: torch.optim.Optimizer,
    step: int,
    waiting: Iterator[Pass],
    loss_of: Callable[[Pass], Tensor],
) -> float:
    """One optimiser step; its loss."""
    optimiser.zero_grad()
    total = 0.0
    for _ in range(schedule.accumulate):
        loss = loss_of(next(waiting))
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    rate = learning_rate(schedule, step)
    if not math.isfinite(total):
        raise FrankenError(
            f"the loss of step {step + 1} of {schedule.steps} is {total} at learning rate "
            f"{rate:.3g}; lower the learning rate of init_method"
        )
    for group in optimiser.param_groups:
        group["lr"] = rate
    if schedule.grad_clip:
        nn.utils.clip_grad_norm_(parameters, schedule.grad_clip)
    optimiser.step()
    return total
