"""Short tuning of a draft on its target's own predictions: they share a vocabulary by now."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer


def tune_on_target(
    draft: PreTrainedModel,
    target: PreTrainedModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    steps: int,
    lr: float = 1e-4,
    length: int = 128,
    batch: int = 4,
    seed: int = 0,
) -> list[float]:
    """Minimise KL(target || draft) over the next token at every place of some text.

    Args:
        draft: changed in place, all of it.
        target: read only.
        tokenizer: of both.
        texts: to read; each is cut to ``length`` tokens.
        steps: optimiser steps.
        lr: of AdamW, falling linearly to 0.
        length: tokens per text.
        batch: texts per step.
        seed: draws the texts.

    Returns:
        The divergence of each step, in nats per token.
    """
    rows = [tokenizer(text, truncation=True, max_length=length).input_ids for text in texts]
    rows = [ids for ids in rows if len(ids) > 1]
    generator = torch.Generator().manual_seed(seed)
    trained = [parameter for parameter in draft.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(1, steps))
    losses = []
    draft.train()
    for _ in range(steps):
        chosen = torch.randint(len(rows), (batch,), generator=generator).tolist()
        optimizer.zero_grad()
        count = sum(len(rows[index]) for index in chosen)
        total = 0.0
        for index in chosen:  # one by one: no padding, and one pair of logits at a time
            ids = torch.tensor([rows[index]])
            with torch.no_grad():
                wanted = target(input_ids=ids).logits[0].float().log_softmax(-1)
            own = draft(input_ids=ids).logits[0].float().log_softmax(-1)
            loss = (wanted.exp() * (wanted - own)).sum() / count
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(total)
    draft.eval()
    return losses
