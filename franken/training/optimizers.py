"""The optimisers of a training phase, as one object each."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from franken.config.training import OptimizerName, TrainingConfig
from franken.errors import CompatibilityError
from franken.training.adafactor import Adafactor
from franken.training.closures import loss_of
from franken.training.quantised import adamw_8bit


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for matrices and AdamW for everything else, with groups and state in common."""

    def __init__(self, muon: torch.optim.Optimizer, adamw: torch.optim.Optimizer) -> None:
        """Join two optimisers of different parameters; they are stepped in this order."""
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self._parts = (muon, adamw)
        for part in self._parts:
            part.state = self.state

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """As any optimiser's."""
        loss = loss_of(closure)
        for part in self._parts:
            part.step()
        return loss


def make_optimizer(
    decayed: Sequence[nn.Parameter], plain: Sequence[nn.Parameter], config: TrainingConfig, *,
    fused: bool, sharded: bool = False,
) -> torch.optim.Optimizer:  # fmt: skip
    """The optimiser that ``config.optimizer`` names.

    Args:
        decayed: matrices of the body.
        plain: embeddings, norms and biases, whose weights do not decay.
        config: rates and betas.
        fused: whether AdamW runs as one kernel.
        sharded: whether parameters are parts of matrices.

    Raises:
        CompatibilityError: for Muon under an older torch; over shards for all but AdamW.
    """
    groups: list[dict[str, Any]] = [
        {"params": [*decayed], "weight_decay": config.weight_decay},
        {"params": [*plain], "weight_decay": 0.0},
    ]
    if sharded and config.optimizer in (OptimizerName.adamw8bit, OptimizerName.adafactor):
        raise CompatibilityError(
            f"optimizer={config.optimizer} keeps its state for whole tensors, and "
            "under strategy=fsdp each process has a part of each; take trainer.strategy=ddp"
        )
    if config.optimizer is not OptimizerName.muon or not decayed:
        return _adamw([group for group in groups if group["params"]], config, fused=fused)
    if not hasattr(torch.optim, "Muon"):
        raise CompatibilityError(
            f"optimizer=muon needs torch 2.9, found {torch.__version__}; take optimizer=adamw"
        )
    if sharded:
        raise CompatibilityError(
            "optimizer=muon orthogonalises whole matrices, and under strategy=fsdp each process "
            "has a part of each; take trainer.strategy=ddp or optimizer=adamw"
        )
    muon = torch.optim.Muon(
        groups[:1], lr=config.lr, weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )  # fmt: skip
    return MuonAndAdamW(muon, _adamw(groups[1:], config, fused=fused)) if plain else muon


def _adamw(
    groups: list[dict[str, Any]], config: TrainingConfig, *, fused: bool
) -> torch.optim.Optimizer:
    if config.optimizer is OptimizerName.adamw8bit:
        return adamw_8bit(groups, config)
    betas = config.betas[0], config.betas[1]
    if config.optimizer is OptimizerName.adafactor:
        return Adafactor(groups, lr=config.lr, betas=betas, eps=config.eps)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
