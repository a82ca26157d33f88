"""Which of several processes this one is, as torchrun, srun or a user's variables say.

One job may be run by several processes, on one machine or many: the first one does everything, and
the others help it to train (``franken/training/team.py``). Where nothing says so, a job that asks
for several processes starts them itself, on its own machine.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from franken.errors import ConfigError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long one may wait before the console says for whom."""


@dataclass(frozen=True)
class Place:
    """One process among those that run a job together."""

    rank: int
    size: int
    local_rank: int
    node: int
    address: str
    """Host of the first process."""
    port: int


def place_of(devices: int, nodes: int, variables: Mapping[str, str] = os.environ) -> Place | None:
    """This process's place among ``devices * nodes``; ``None``: it was started alone.

    Args:
        devices: ``trainer.devices``, processes of a node.
        nodes: ``trainer.num_nodes``.
        variables: of torchrun (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``MASTER_ADDR``), of srun
            (``SLURM_PROCID`` ...), or ``MASTER_ADDR`` and ``NODE_RANK`` set by hand.

    Raises:
        ConfigError: where the launcher started another number of processes than the trainer wants.
    """
    wanted = devices * nodes
    if "RANK" in variables and "WORLD_SIZE" in variables and "MASTER_ADDR" in variables:
        size = int(variables["WORLD_SIZE"])
        _compare("the launcher (WORLD_SIZE)", size, devices, nodes)
        rank = int(variables["RANK"])
        local = int(variables.get("LOCAL_RANK", rank % devices))
        return _place(variables, rank, wanted, local, devices) if size > 1 else None
    if wanted == 1:
        return None
    tasks = int(variables.get("SLURM_STEP_NUM_TASKS", variables.get("SLURM_NTASKS", "1")))
    if "SLURM_PROCID" in variables and tasks > 1:
        _compare("srun (SLURM_NTASKS)", tasks, devices, nodes)
        rank, local = int(variables["SLURM_PROCID"]), int(variables["SLURM_LOCALID"])
        return _place(_with_slurm_address(variables), rank, wanted, local, devices)
    if "NODE_RANK" in variables and "MASTER_ADDR" in variables:
        if devices != 1 and "LOCAL_RANK" not in variables:
            raise ConfigError(
                f"trainer.devices={devices} on {nodes} nodes: NODE_RANK alone starts one process "
                f"per node. Start with torchrun --nnodes {nodes} --nproc-per-node {devices} -m "
                "franken ..., or with srun"
            )
        node, local = int(variables["NODE_RANK"]), int(variables.get("LOCAL_RANK", "0"))
        return _place(variables, node * devices + local, wanted, local, devices)
    if nodes > 1:
        raise ConfigError(
            f"trainer.num_nodes={nodes}: start the same command on every node with torchrun "
            f"--nnodes {nodes} --nproc-per-node {devices} -m franken ..., with srun, or with "
            "MASTER_ADDR, MASTER_PORT and NODE_RANK set"
        )
    return None


def _compare(who: str, size: int, devices: int, nodes: int) -> None:
    if size != devices * nodes:
        raise ConfigError(
            f"{who} started {size} processes, but trainer.devices={devices} times "
            f"trainer.num_nodes={nodes} is {devices * nodes}; make them equal"
        )


def _place(variables: Mapping[str, str], rank: int, size: int, local: int, devices: int) -> Place:
    try:
        address, port = variables["MASTER_ADDR"], int(variables.get("MASTER_PORT", "29500"))
    except ValueError:
        raise ConfigError(
            f"MASTER_PORT={variables['MASTER_PORT']!r} is no number; set it to a free port"
        ) from None
    return Place(rank, size, local, rank // devices, address, port)


def _with_slurm_address(variables: Mapping[str, str]) -> Mapping[str, str]:
    """The first node of the job, and a port that follows from the job's number."""
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    nodes = variables.get("SLURM_STEP_NODELIST") or variables.get("SLURM_NODELIST", "127.0.0.1")
    port = 15000 + int(variables.get("SLURM_JOB_ID", "0")[-4:])
    address = SLURMEnvironment.resolve_root_node_address(nodes)
    return {"MASTER_ADDR": address, "MASTER_PORT": str(port), **variables}


@contextmanager
def patiently(line: str, seconds: float | None = None) -> Iterator[None]:
    """Say ``line`` as a warning once this has taken long."""
    timer = threading.Timer(
        PATIENCE_SECONDS if seconds is None else seconds, log.warning, args=("%s", line)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
