"""Several processes for one job: the first leads, the others train with it when it calls.

The leader alone has a store, asks for locks, reads data, builds and publishes; it does so as if it
were alone. When it comes to a training loop it sends the others what they need for it over the
process group (the module, tensor by tensor, and every batch), so that it does not matter whether
they see the same files. Between loops they wait, and say for whom.
"""

import atexit
import io
import logging
import os
import pickle
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from franken.errors import FrankenError
from franken.interruption import Interrupted
from franken.processes import PATIENCE_SECONDS, Place, patiently

log = logging.getLogger(__name__)

JOINING = timedelta(minutes=30)
"""How long processes wait for each other at the start."""
COLLECTIVE = timedelta(hours=2)
"""How long one waits for another inside a training loop: a validation, a checkpoint."""
_POLL_SECONDS = 0.2
_PARTING_SECONDS = 10.0
_LOOP, _DONE, _FAILED, _INTERRUPTED = "loop", "done", "failed", "interrupted"


class Team:
    """The processes of a job, as one of them sees them; stays open for all jobs of a grid."""

    current: "Team | None" = None
    """That which this process leads now."""
    _met: "Team | None" = None

    def __init__(self, place: Place, *, gpu: bool) -> None:
        """Meet the others; returns when all are there."""
        self.place = place
        self._sent = 0
        others = f"all {place.size} processes to meet at {place.address}:{place.port}"
        with patiently(f"rank {place.rank} waits for {others}"):
            store = self._rendezvous()
            self._store: Any = PrefixStore("franken", store)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if gpu else "gloo", rank=place.rank, world_size=place.size,
                store=PrefixStore("group", store), timeout=COLLECTIVE,
            )  # fmt: skip
            if self.leads:
                self._store.set("leader", f"pid {os.getpid()} on {socket.gethostname()}")
        self.leader = self._store.get("leader").decode()

    def _rendezvous(self) -> Any:
        place = self.place
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.address, str(place.port)
        url = f"env://?rank={place.rank}&world_size={place.size}"
        store, _, _ = next(iter(rendezvous(url, timeout=JOINING)))
        return store

    @classmethod
    def meet(cls, place: Place, *, gpu: bool) -> "Team":
        """The team of this process; made at the first call, for all jobs of a grid."""
        if cls._met is None:
            cls._met = cls(place, gpu=gpu)
            atexit.register(cls._met.close)
        return cls._met

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.place.rank == 0

    def close(self) -> None:
        """Part, once the others have heard the end; they may be gone already."""
        Team.current = None
        deadline = time.monotonic() + _PARTING_SECONDS
        while self.leads and self._sent and time.monotonic() < deadline:
            if self._store.add(f"heard/{self._sent - 1}", 0) >= self.place.size - 1:
                break
            time.sleep(_POLL_SECONDS / 10)
        dist.destroy_process_group()

    # --- the leader ----------------------------------------------------------------------------

    @contextmanager
    def leading(self) -> Iterator[None]:
        """One job: the others wait for loops inside, and hear how it ended."""
        Team.current = self
        try:
            yield
        except BaseException as error:
            kind = _INTERRUPTED if isinstance(error, Interrupted) else _FAILED
            number = error.number if isinstance(error, Interrupted) else 0
            self._send({"kind": kind, "message": str(error), "number": number})
            raise
        else:
            self._send({"kind": _DONE})
        finally:
            Team.current = None

    def doing(self, line: str) -> None:
        """What the others say that they wait for."""
        self._store.set("doing", line)

    def share(self, loop: Any, *, sharded: bool) -> Any:
        """Send a training loop to the others; returns this process's own part of it."""
        stripped = io.BytesIO()
        pickler = _Stripping(stripped, sharded=sharded)
        pickler.dump(replace(loop, follow=loop.follow.for_others()))
        self._send({"kind": _LOOP, "sharded": sharded, "loop": stripped.getvalue()})
        tensors = pickler.tensors
        for tensor, meta in tensors:
            if not meta:
                dist.broadcast(_plain(tensor), 0)
        if not sharded:
            return loop
        opened = _open(stripped.getvalue(), [tensor for tensor, _ in tensors])
        return replace(opened, follow=loop.follow, feed=loop.feed)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._store.set(f"message/{self._sent}", pickle.dumps(message))
        except (RuntimeError, OSError) as error:
            log.debug("the other processes cannot be told: %s", error)
        self._sent += 1

    # --- the others ----------------------------------------------------------------------------

    def follow(self) -> None:
        """One job: do the leader's training loops until it is done.

        Raises:
            FrankenError: where the leader failed or is gone.
            Interrupted: where the leader was.
        """
        while True:
            message = self._receive()
            if message["kind"] == _DONE:
                return
            if message["kind"] == _INTERRUPTED:
                raise Interrupted(message["number"], " (rank 0)")
            if message["kind"] == _FAILED:
                raise FrankenError(f"rank 0 ({self.leader}) failed: {message['message']}")
            loop = _open(message["loop"], None)
            with losing(self.place.size):
                loop.run(environment=environment_of(self.place))

    def _receive(self) -> dict[str, Any]:
        key, told, started = f"message/{self._sent}", "", time.monotonic()
        try:
            while not self._store.check([key]):
                if time.monotonic() - started > PATIENCE_SECONDS:
                    told = self._tell(told)
                time.sleep(_POLL_SECONDS)
            message: dict[str, Any] = pickle.loads(self._store.get(key))
            self._store.add(f"heard/{self._sent}", 1)
        except (RuntimeError, OSError) as error:
            raise FrankenError(
                f"rank 0 ({self.leader}) is gone; run the same command again on all nodes: it goes "
                "on from the last checkpoint"
            ) from error
        self._sent += 1
        return message

    def _tell(self, told: str) -> str:
        doing = self._store.get("doing").decode() if self._store.check(["doing"]) else "its work"
        if doing != told:
            log.warning("rank %d waits for rank 0 (%s): %s", self.place.rank, self.leader, doing)
        return doing


@contextmanager
def losing(size: int) -> Iterator[None]:
    """Turn the loss of another process into an error that says what to do."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, FrankenError) or not _is_lost(error):
            raise
        raise FrankenError(
            f"another of the {size} processes of this training ended or cannot be reached "
            f"({str(error).splitlines()[0][:200]}). Look at its output; run the same command again "
            "to continue from the last checkpoint"
        ) from error


def _is_lost(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(
        word in text for word in ("connection", "gloo", "nccl", "timed out", "socket")
    )


class SharedFeed:
    """A training feed whose batches reach every process; only the leader's has data."""

    def __init__(self, feed: Any) -> None:
        self.feed, self._length = feed, len(feed)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Any]:
        own = iter(self.feed) if self.feed is not None else None
        for _ in range(self._length):
            batch = [next(own) if own is not None else None]
            dist.broadcast_object_list(batch, 0, device=torch.device("cpu"))
            yield batch[0]

    def state_dict(self) -> dict[str, Any]:
        """Position after the batches handed out so far."""
        state: dict[str, Any] = self.feed.state_dict()
        return state

    def __getstate__(self) -> dict[str, Any]:
        return {"feed": None, "_length": self._length}


class PlacedEnvironment(ClusterEnvironment):
    """What Lightning asks about processes that are there already."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    @staticmethod
    def detect() -> bool:
        """Never on its own."""
        return False

    @property
    def creates_processes_externally(self) -> bool:
        """Yes."""
        return True

    @property
    def main_address(self) -> str:
        """Host of the first process."""
        return self.place.address

    @property
    def main_port(self) -> int:
        """Where the first process listens."""
        return self.place.port

    def world_size(self) -> int:
        """Processes in all."""
        return self.place.size

    def set_world_size(self, size: int) -> None:
        """Fixed."""

    def global_rank(self) -> int:
        """Among all processes."""
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Fixed."""

    def local_rank(self) -> int:
        """Among the processes of the node."""
        return self.place.local_rank

    def node_rank(self) -> int:
        """Of the node."""
        return self.place.node


def environment_of(place: Place) -> ClusterEnvironment:
    """Lightning's view of a place."""
    return PlacedEnvironment(place)


# --- a training loop without its tensors ---------------------------------------------------------


class _Stripping(pickle.Pickler):
    """Pickles all but the tensors: those are numbered, and go over the process group."""

    def __init__(self, target: io.BytesIO, *, sharded: bool) -> None:
        super().__init__(target)
        self.sharded = sharded
        self.tensors: list[tuple[Tensor, bool]] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: Any) -> Any:
        """A tensor's number, shape, format and kind; ``None`` for everything else."""
        if not isinstance(value, Tensor):
            return None
        parameter = isinstance(value, nn.Parameter)
        meta = parameter and self.sharded
        number = self._numbers.setdefault(id(value), len(self.tensors))
        if number == len(self.tensors):
            self.tensors.append((value, meta))
        return number, tuple(value.shape), value.dtype, parameter, value.requires_grad, meta


class _Filling(pickle.Unpickler):
    """Reads what :class:`_Stripping` wrote, with empty tensors in the places of the real ones."""

    def __init__(self, source: io.BytesIO, own: list[Tensor] | None) -> None:
        super().__init__(source)
        self.own = own
        self.tensors: dict[int, Tensor] = {}
        self.missing: dict[int, int] = {}

    def persistent_load(self, pid: Any) -> Tensor:
        """The tensor of that number, the same object each time."""
        number, shape, dtype, parameter, wants_grad, meta = pid
        if number not in self.tensors:
            if self.own is not None and not meta:
                self.tensors[number] = self.own[number]
                return self.tensors[number]
            made: Tensor = torch.empty(shape, dtype=dtype, device="meta" if meta else "cpu")
            if parameter:
                made = nn.Parameter(made, requires_grad=wants_grad)
            self.tensors[number] = made
            if meta:
                self.missing[id(made)] = number
        return self.tensors[number]


def _open(stripped: bytes, own: list[Tensor] | None) -> Any:
    """The loop, its tensors filled by the leader; ``own``: the leader's tensors, in the leader."""
    reader = _Filling(io.BytesIO(stripped), own)
    loop = reader.load()
    if own is None:
        for number in sorted(reader.tensors):
            tensor = reader.tensors[number]
            if not tensor.is_meta:
                dist.broadcast(_plain(tensor), 0)
    if reader.missing:
        loop.module.fill = _Fill(reader.missing, own)
    return loop


class _Fill:
    """Brings parameters that are still on the meta device from the leader, a unit at a time."""

    def __init__(self, missing: dict[int, int], own: list[Tensor] | None) -> None:
        self.missing, self.own = missing, own

    def __call__(self, unit: nn.Module) -> None:
        made: dict[int, nn.Parameter] = {}
        for module in unit.modules():
            for name, parameter in module._parameters.items():
                number = None if parameter is None else self.missing.get(id(parameter))
                if parameter is None or number is None:
                    continue
                if number not in made:
                    made[number] = self._whole(parameter, number)
                module._parameters[name] = made[number]

    def _whole(self, parameter: nn.Parameter, number: int) -> nn.Parameter:
        if self.own is None:
            values = torch.empty_like(parameter, device="cpu")
        else:
            values = _plain(self.own[number]).clone()
        dist.broadcast(values.detach(), 0)
        return nn.Parameter(values.detach(), requires_grad=parameter.requires_grad)


def _plain(tensor: Tensor) -> Tensor:
    """A contiguous view of its values on the CPU, to send or to receive into."""
    values = tensor.detach()
    return values if values.is_contiguous() else values.contiguous()
