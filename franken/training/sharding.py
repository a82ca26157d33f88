"""Where Lightning strategies differ: how processes start, and whether they hold whole tensors.

One process, and several with a copy each (ddp), hold whole tensors. Under fsdp every process holds
a block of rows of each parameter (FSDP2, ``fully_shard``, through Lightning's
``ModelParallelStrategy``). Processes are started here, around the training loop only, unless a
launcher such as torchrun has started them already.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from pytorch_lightning.strategies.launchers.multiprocessing import _MultiProcessingLauncher
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from franken.config.trainer import TrainerConfig

Fill = Callable[[nn.Module], None]
"""Puts values into the parameters of a unit that are still on the meta device."""


class ShardedStrategy(ModelParallelStrategy):
    """FSDP2 whose processes are started around the training loop and joined after it.

    Lightning's own launcher runs the whole program once per process, which would ask again for the
    locks that its parent holds.
    """

    def __init__(self, processes: int) -> None:
        super().__init__(data_parallel_size=processes, tensor_parallel_size=1)

    def _configure_launcher(self) -> None:
        assert self.cluster_environment is not None
        if not self.cluster_environment.creates_processes_externally:
            self._launcher: Any = _MultiProcessingLauncher(self, start_method="spawn")


def strategy_of(
    config: TrainerConfig, *, partial: bool = False, started: bool = False
) -> str | Strategy:
    """The Lightning strategy of ``trainer.strategy``.

    Args:
        config: how many processes, and how they share the work.
        partial: whether a batch may leave trained parameters out, such as those of a table that
            none of its texts is in.
        started: whether the processes are there already.
    """
    if config.strategy == "fsdp":
        return ShardedStrategy(config.processes)
    if config.processes == 1:
        return "auto"
    method: Any = "popen" if started else "spawn"  # popen starts none where they are there
    return DDPStrategy(start_method=method, find_unused_parameters=partial)


def shard_module(module: Any, layers: Sequence[nn.Module], fill: Fill | None = None) -> None:
    """Shard layer by layer; embeddings and head stay together in the outer unit, as tied ones must.

    Args:
        module: the Lightning module; it becomes the outer unit.
        layers: of the model inside it.
        fill: called for each unit just before it is sharded, so that no more than one unit is whole
            at a time.
    """
    mesh = module.device_mesh["data_parallel"]
    for unit in (*layers, module):
        if fill is not None:
            fill(unit)
        fully_shard(unit, mesh=mesh)


def is_sharded(trainer: Trainer) -> bool:
    """Whether parameters are shards."""
    return isinstance(trainer.strategy, ModelParallelStrategy)


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor: all of it, or a view of its rows of a sharded one."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def own_rows(parameter: Tensor) -> slice:
    """Which rows of the whole tensor :func:`own_part` has."""
    if not isinstance(parameter, DTensor):
        return slice(0, len(parameter))
    rank, size = parameter.device_mesh.get_local_rank(), parameter.device_mesh.size()
    block = -(-len(parameter) // size)  # as torch.chunk cuts
    first = min(rank * block, len(parameter))
    return slice(first, first + len(parameter.to_local()))


def like(whole: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor as the parameter is: itself, or sharded in the same way."""
    if not isinstance(parameter, DTensor):
        return whole.to(parameter.device)
    part = whole[own_rows(parameter)].to(parameter.to_local().device).contiguous()
    return DTensor.from_local(
        part, parameter.device_mesh, parameter.placements, shape=parameter.shape,
        stride=parameter.stride(),
    )  # fmt: skip
