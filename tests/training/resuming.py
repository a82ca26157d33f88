"""A table that an optimiser moves, in one go and with a checkpoint on the way."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from franken.config.training import TrainingConfig
from franken.training.checkpoint_tensors import load_optimizer, run_tensors
from franken.training.optimizers import make_optimizer


def moved_and_resumed(
    start: torch.Tensor, settings: TrainingConfig, *, steps: int, stop: int
) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
    """The table after all steps; the same, saved after ``stop`` and read again; what was saved."""

    def begun(values: torch.Tensor) -> tuple[nn.Parameter, Any, torch.optim.Optimizer]:
        table = nn.Parameter(values.clone())
        module = SimpleNamespace(
            named_trained=lambda: [("table", table)],
            trained_weights=lambda: {"table": table.detach()},
        )
        return table, module, make_optimizer([], [table], settings, fused=True)

    def move(optimizer: torch.optim.Optimizer, table: nn.Parameter, numbers: range) -> None:
        for number in numbers:
            generator = torch.Generator().manual_seed(number)
            table.grad = torch.randn(table.shape, generator=generator)
            optimizer.step()

    whole, _, optimizer = begun(start)
    move(optimizer, whole, range(1, steps + 1))
    table, module, optimizer = begun(start)
    move(optimizer, table, range(1, stop + 1))
    saved = run_tensors(module, optimizer, sharded=False)
    table, module, optimizer = begun(saved["weights"]["table"])
    load_optimizer(module, optimizer, saved)
    move(optimizer, table, range(stop + 1, steps + 1))
    return whole.detach(), table.detach(), saved
