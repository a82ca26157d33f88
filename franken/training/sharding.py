"""Where Lightning strategies differ: how processes start, and how to see whole tensors.

One process, and several with a copy each (ddp), hold whole tensors. Under fsdp every process holds
a shard; checkpoints are whole all the same, so that the number of processes may change between
them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from franken.config.runtime import TrainerConfig
from franken.training.module import CausalModule

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def strategy_of(
    config: TrainerConfig, layers: Sequence[nn.Module], *, partial: bool = False
) -> str | Strategy:
    """The Lightning strategy of ``trainer.strategy``.

    ``ddp`` on one machine starts its processes around the training loop only and joins them after
    it, so that a caller who holds a lock or other work is not run twice. ``fsdp`` shards layer by
    layer; embeddings and head stay together in the outer unit, as tied tables must.

    Args:
        config: how many processes, and where.
        layers: of the model.
        partial: whether a batch may leave trained parameters out, such as those of a table that
            none of its texts is in.
    """
    if config.strategy == "ddp":
        if config.num_nodes > 1:
            return DDPStrategy(find_unused_parameters=partial)
        if config.devices == 1:
            return "auto"
        return DDPStrategy(start_method="spawn", find_unused_parameters=partial)
    if config.strategy == "fsdp":
        return FSDPStrategy(
            auto_wrap_policy={type(layer) for layer in layers},
            use_orig_params=True,  # frozen and trained parameters side by side
            state_dict_type="full",
        )
    return config.strategy


def is_sharded(trainer: Trainer) -> bool:
    """Whether parameters are shards."""
    return isinstance(trainer.strategy, FSDPStrategy)


def full_weights(trainer: Trainer, module: CausalModule) -> dict[str, Tensor]:
    """The trained parameters by their names in the model; a collective call under fsdp."""
    if not is_sharded(trainer):
        return module.trained_weights()
    from torch.distributed.fsdp import FullyShardedDataParallel as Sharded

    names = set(module.policy.names)
    root: Any = trainer.strategy.model
    with Sharded.summon_full_params(root, writeback=False, offload_to_cpu=True):
        return {
            name: parameter.detach().clone()
            for name, parameter in whole_names(module.model)
            if name in names
        }


def whole_names(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters under the names that they have without sharding wrappers."""
    return [
        (name.replace("_fsdp_wrapped_module.", ""), parameter)
        for name, parameter in model.named_parameters()
    ]


def full_optimizer_state(trainer: Trainer) -> dict[str, Any]:
    """State of the optimiser, whole."""
    optimizer = trainer.optimizers[0]
    if not is_sharded(trainer):
        state: dict[str, Any] = optimizer.state_dict()
        return state
    root: Any = trainer.strategy.model
    return get_optimizer_state_dict(root, optimizer, options=_WHOLE)


def load_full_optimizer_state(trainer: Trainer, state: dict[str, Any]) -> None:
    """Continue with a state from :func:`full_optimizer_state`."""
    optimizer = trainer.optimizers[0]
    if not is_sharded(trainer):
        optimizer.load_state_dict(state)
        return
    root: Any = trainer.strategy.model
    options = StateDictOptions(full_state_dict=True, cpu_offload=torch.cuda.is_available())
    set_optimizer_state_dict(root, optimizer, optim_state_dict=state, options=options)
