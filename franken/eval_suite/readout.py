"""A causal language model seen as body and head, so that logits are formed only where needed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.errors import CompatibilityError

log = logging.getLogger(__name__)

LOGIT_BUDGET = 2**20
"""Float32 logits formed at once on a CPU: 4 MiB stay in its cache, which measured three times
as fast as 64 MiB. Accelerators form 64 times as many."""
PASSING = 48
"""Tokens that one more pass on a CPU is worth, measured on SmolLM2-135M; that its weights are read
once does not hang on their number. Accelerators take a pass for thousands of tokens, and fill
it."""
MIN_ROWS = 64
"""States per product at least: fewer would mean to read a large head for each few of them."""


Guess = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(B, L)`` ids and mask, ``(B,)`` places -> ``(B, V)`` float32 logits of these places."""


@dataclass(frozen=True)
class Readout:
    """Body and head of one model.

    Attributes:
        run: forward pass; returns an object with ``past_key_values`` and the states.
        states: takes the ``(B, L, X)`` states out of what ``run`` returned.
        logits: ``(N, X)`` states -> ``(N, V)`` float32 logits.
        vocabulary: V, rows of the head.
        whole_logits: whether the states are themselves logits (a family whose parts are unknown).
        positions: longest input, ``None`` when the config states none.
        device: where inputs belong.
        gate_prefix: ``None`` where no state depends on a later token. Else the model reads what a
            request shows of itself before it answers any of it (a router): its context, or, of a
            text without a prompt, so many tokens; ``run`` is told by ``seen``, ``(B,)``.
        guess: of a masked language model, see ``parts.masked.logits_at``; ``None``: it is causal.
        window: shortest sliding window of its attention, ``None`` where all layers see everything.
    """

    run: Callable[..., Any]
    states: Callable[[Any], Tensor]
    logits: Callable[[Tensor], Tensor]
    vocabulary: int
    whole_logits: bool
    positions: int | None
    device: torch.device
    gate_prefix: int | None = None
    window: int | None = None
    guess: Guess | None = None

    def tokens_per_forward(self, batch_tokens: int) -> int:
        """``batch_tokens``, or less where the forward pass itself forms all logits."""
        if self.whole_logits:
            return max(1, min(batch_tokens, 64 * LOGIT_BUDGET // self.vocabulary))
        return batch_tokens

    def passing(self) -> int | None:
        """Tokens that one more pass is worth; ``None`` where it is worth more than any padding."""
        return PASSING if self.device.type == "cpu" else None

    def rows_per_chunk(self) -> int:
        """States turned into logits at once."""
        budget = LOGIT_BUDGET * (1 if self.device.type == "cpu" else 64)
        return max(MIN_ROWS, budget // self.vocabulary)


def _backbone(core: Any, path: str) -> Any:
    """The body of a model.

    Raises:
        CompatibilityError: where the family's usual path leads nowhere in this model.
    """
    try:
        return core.get_submodule(path)
    except AttributeError as error:
        raise CompatibilityError(
            f"{type(core).__name__} has no body at {path!r}: {error}"
        ) from None


def read_out(model: Any) -> Readout:
    """Split ``model`` (a transformers causal LM, also one wrapped by peft) into body and head.

    The body returns states after its final norm; the head then gives
    ``softcap(scale * (h W^T + b))`` as the family does. Families that ``franken.parts.anatomy``
    does not know, and models whose own logits are others (``franken.parts.head_check``), are run
    whole, in smaller batches.
    """
    from franken.families.objective import is_masked
    from franken.parts.anatomy import anatomy_of, logit_scale, logit_softcap, text_config
    from franken.parts.head_check import capped, head_difference
    from franken.parts.masked import logits_at

    core: PreTrainedModel = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = core.config
    positions = getattr(text_config(config), "max_position_embeddings", None)
    head = core.get_output_embeddings()
    device = head.weight.device
    vocabulary = int(head.weight.shape[0])
    if is_masked(config):
        return Readout(
            core, lambda out: out.logits, lambda rows: rows.float(), vocabulary, True,
            text_positions(core), device, guess=partial(logits_at, core),
        )  # fmt: skip
    try:
        backbone, whole = _backbone(core, anatomy_of(config).backbone), head_difference(core)
    except CompatibilityError as error:
        whole = str(error)
    if whole:
        log.info("%s is run whole: %s", type(core).__name__, whole)
        return Readout(
            core, lambda out: out.logits, lambda rows: rows.float(), vocabulary, True,
            positions, device,
        )  # fmt: skip
    scale, cap = logit_scale(config), logit_softcap(config)

    def logits(states: Tensor) -> Tensor:
        return capped(head(states.to(head.weight.dtype)).float(), scale, cap)

    return Readout(
        backbone, lambda out: out.last_hidden_state, logits, vocabulary, False, positions, device,
        window=getattr(text_config(config), "sliding_window", None),
    )  # fmt: skip


def text_positions(model: PreTrainedModel) -> int | None:
    """Tokens that a masked model can read: RoBERTa's positions begin behind the padding id."""
    from franken.parts.anatomy import anatomy_of

    most = getattr(model.config, "max_position_embeddings", None)
    if most is None or not anatomy_of(model.config).positions_from_padding:
        return most
    return int(most) - int(model.config.pad_token_id or 0) - 1
