"""Learning rate as a plain function of the step: nothing to store, nothing to restore."""

import math

from franken.config.training import Schedule, TrainingConfig


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Learning rate of optimiser step ``step`` (0-based)."""
    factor = lr_factor(
        step,
        steps=config.steps,
        schedule=config.schedule,
        warmup_steps=round(config.warmup * config.steps),
        final_ratio=config.final_lr_ratio,
        decay_steps=round(config.decay * config.steps),
    )
    return config.lr * factor


def lr_factor(
    step: int,
    *,
    steps: int,
    schedule: Schedule,
    warmup_steps: int,
    final_ratio: float,
    decay_steps: int = 0,
) -> float:
    """Share of the peak rate at ``step``.

    Warm-up rises linearly and reaches 1 at its last step: ``(step + 1) / warmup_steps``, so that no
    step is wasted on a rate of 0. Then, with ``p = (step - warmup) / (steps - warmup)``, cosine
    gives ``r + (1 - r) (1 + cos(pi p)) / 2`` and linear ``1 - (1 - r) p``, ``r = final_ratio``.
    WSD (Hu et al. 2024, MiniCPM) is 1 until the last ``decay_steps``, which are linear: runs that
    differ in how they end share all before.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule is Schedule.wsd:
        into = max(0, step - (steps - decay_steps)) / max(1, decay_steps)
        return 1 - (1 - final_ratio) * into
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    if schedule is Schedule.cosine:
        return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * progress)) / 2
    if schedule is Schedule.linear:
        return 1 - (1 - final_ratio) * progress
    return 1.0
