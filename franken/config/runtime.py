"""Options of the groups ``trainer`` and ``logger``, and where things are kept.

None of them enters a key, except the precision.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least


class Precision(StrEnum):
    """Lightning precision of the forward pass; master weights of what trains stay float32."""

    fp32 = "fp32"
    bf16_mixed = "bf16_mixed"
    fp16_mixed = "fp16_mixed"


@dataclass
class TrainerConfig:
    """Where and how Lightning runs."""

    name: str = "cpu"
    accelerator: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    """A Lightning strategy name: auto, ddp, fsdp."""
    precision: Precision = Precision.fp32
    threads: int | None = None
    """CPU threads of torch; ``null``: torch's default."""
    deterministic: bool = True
    progress: bool = True
    """Progress bars (only ever on a terminal)."""

    @property
    def device(self) -> str:
        """Where a model belongs that is only run."""
        return "cuda" if self.accelerator in ("gpu", "cuda") else "cpu"

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("devices", self.devices, 1)
        yield from at_least("threads", self.threads, 1)


@dataclass
class LoggerConfig:
    """Curves and tables; ``results.jsonl`` is written whatever stands here."""

    name: str = "csv"


@dataclass
class WandbLogger(LoggerConfig):
    """Weights & Biases through Lightning; offline unless a login is at hand."""

    name: str = "wandb"
    project: str = "franken"
    entity: str | None = None
    mode: str = "auto"
    """auto, online, offline."""
    tags: list[str] = field(default_factory=list)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.mode not in ("auto", "online", "offline"):
            yield "mode", f"must be auto, online or offline, got {self.mode!r}"


@dataclass
class StoreConfig:
    """Where artefacts are kept."""

    path: str = "outputs/store"
    """Directory of the content-addressed store."""
    verify: bool = True
    """Check the sha256 of every artefact when it is read."""


@dataclass
class RecipeConfig:
    """A graph of steps; references are names of other steps."""

    name: str = ""
    steps: dict[str, Any] = field(default_factory=dict)
    """Step name -> ``{step: kind, ...}``; the kinds and their fields are in franken/steps."""
    run: list[str] = field(default_factory=list)
    """Steps that hold scores of their own (``transplant``) and are asked for."""
    evaluate: list[str] = field(default_factory=list)
    """Steps whose models are scored with ``eval_suite``."""
    export: list[str] = field(default_factory=list)
    """Steps whose models are written as transformers checkpoints."""
