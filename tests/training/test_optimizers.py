"""One optimiser of two, against the two apart."""

import pytest
import torch
from torch import nn

from franken.config.training import OptimizerName, TrainingConfig
from franken.errors import CompatibilityError
from franken.training.optimizers import MuonAndAdamW, make_optimizer
from tests.faults import raises

CONFIG = TrainingConfig(optimizer=OptimizerName.muon, lr=0.02, weight_decay=0.1)


def parameters(seed: int) -> tuple[nn.Parameter, nn.Parameter]:
    made = torch.Generator().manual_seed(seed)
    return (
        nn.Parameter(torch.randn(6, 4, generator=made)),
        nn.Parameter(torch.randn(5, generator=made)),
    )


def test_matrices_go_by_muon_and_the_rest_by_adamw() -> None:
    matrix, vector = parameters(0)
    other, its = parameters(0)
    joined = make_optimizer([matrix], [vector], CONFIG, fused=False)
    muon = torch.optim.Muon([other], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW([its], lr=0.02, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    for step in range(3):
        for rate in (joined, muon, adamw):
            for group in rate.param_groups:
                group["lr"] = 0.02 / (step + 1)
        for one, parameter in zip(
            (matrix, vector, other, its), parameters(7 + step) * 2, strict=True
        ):
            one.grad = parameter.detach().clone()
        assert joined.step(lambda: 1.5) == 1.5
        muon.step()
        adamw.step()
    assert torch.equal(matrix, other)
    assert torch.equal(vector, its)
    assert set(joined.state) == {matrix, vector}
    assert set(joined.state[matrix]) == {"momentum_buffer"}


def test_a_step_is_of_adamws_size() -> None:
    """Root mean square 0.2 at rate 1, as AdamW's steps are (Liu et al. 2025, 2.2)."""
    matrix = nn.Parameter(torch.zeros(64, 32))
    optimizer = make_optimizer(
        [matrix], [], TrainingConfig(optimizer=OptimizerName.muon, lr=1.0), fused=False
    )
    matrix.grad = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    assert float(matrix.detach().square().mean().sqrt()) == pytest.approx(0.2, rel=0.2)


def test_without_matrices_it_is_adamw_and_shards_are_refused() -> None:
    matrix, vector = parameters(0)
    assert type(make_optimizer([], [vector], CONFIG, fused=False)) is torch.optim.AdamW
    assert isinstance(make_optimizer([matrix], [vector], CONFIG, fused=False), MuonAndAdamW)
    with raises(CompatibilityError, "optimizer"):
        make_optimizer([matrix], [vector], CONFIG, fused=False, sharded=True)
