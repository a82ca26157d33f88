"""Options of the groups ``trainer`` and ``logger``, and where things are kept.

None of them enters a key, except the precision.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from franken.config.checks import at_least

STRATEGIES = ("auto", "ddp", "fsdp")
ACCELERATORS = ("cpu", "gpu", "cuda", "auto")


class Precision(StrEnum):
    """Lightning precision of the forward pass; master weights of what trains stay float32."""

    fp32 = "fp32"
    bf16_mixed = "bf16_mixed"
    fp16_mixed = "fp16_mixed"


SET_BY_FRANKEN = {
    "accumulate_grad_batches": "training.PHASE.accumulate",
    "barebones": "nothing: bars, summaries and Lightning's checkpoints are off already",
    "check_val_every_n_epoch": "training.PHASE.validate_every",
    "enable_checkpointing": "training.PHASE.checkpoint_every",
    "fast_dev_run": "training.PHASE.steps=1",
    "gradient_clip_algorithm": "training.PHASE.grad_clip (the norm is clipped)",
    "gradient_clip_val": "training.PHASE.grad_clip",
    "limit_predict_batches": "nothing: only fit is called",
    "limit_test_batches": "nothing: only fit is called",
    "limit_train_batches": "training.PHASE.steps",
    "limit_val_batches": "training.PHASE.validation_batches",
    "logger": "logger=csv, none or wandb",
    "max_epochs": "training.PHASE.steps",
    "max_steps": "training.PHASE.steps",
    "min_epochs": "training.PHASE.steps",
    "min_steps": "training.PHASE.steps",
    "num_sanity_val_steps": "training.PHASE.validate_every",
    "overfit_batches": "data and training.PHASE.steps",
    "reload_dataloaders_every_n_epochs": "nothing: one pass is made",
    "use_distributed_sampler": "nothing: processes share the rows of a batch",
    "val_check_interval": "training.PHASE.validate_every",
}
"""Arguments of Lightning's Trainer that follow from other options -> what to set instead."""


@dataclass
class TrainerConfig:
    """Where and how Lightning runs: every argument of its Trainer that franken does not set."""

    name: str = "cpu"
    accelerator: str = "cpu"
    devices: int = 1
    """Processes of a machine, each with a device of its own."""
    num_nodes: int = 1
    """Machines; start the same command on each of them (docs/cluster.md)."""
    strategy: str = "auto"
    """How several processes share the work: ``ddp``, a whole copy of the model each (``auto`` is
    the same), or ``fsdp``, each a part of every weight (FSDP2)."""
    precision: Precision = Precision.fp32
    threads: int | None = None
    """CPU threads of torch; ``null``: torch's default."""
    workers: int = 1
    """Processes that tokenise training text of more than some millions of characters."""
    deterministic: bool = True
    progress: bool = True
    """Progress bars (only ever on a terminal)."""
    callbacks: dict[str, Any] = field(default_factory=dict)
    """Name -> ``_target_`` of a Lightning callback, and its arguments; they come after franken's.
    What they do to the weights is in no key."""
    max_time: Any = None
    """Longest time of one training, e.g. ``00:12:00:00``; called again, it goes on."""
    log_every_n_steps: int | None = None
    """How often Lightning's loggers write; ``null``: every 50 steps."""
    enable_progress_bar: bool = False
    """Lightning's own bar; franken's is ``progress``."""
    enable_model_summary: bool = False
    profiler: Any = None
    """simple, advanced, pytorch, or ``_target_``."""
    detect_anomaly: bool = False
    benchmark: bool | None = None
    inference_mode: bool = True
    sync_batchnorm: bool = False
    plugins: list[Any] = field(default_factory=list)
    """``_target_`` entries."""
    default_root_dir: str | None = None
    """Where Lightning's own files go; ``null``: the step's scratch directory."""
    enable_autolog_hparams: bool = True
    model_registry: str | None = None

    @property
    def device(self) -> str:
        """Where all that runs here runs: training, scoring, initialisers; ``cuda`` or ``cpu``."""
        if self.accelerator == "auto":
            import torch

            return "cuda" if torch.cuda.is_available() else "cpu"
        return "cuda" if self.accelerator in ("gpu", "cuda") else "cpu"

    @property
    def processes(self) -> int:
        """Processes in all."""
        return self.devices * self.num_nodes

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("devices", self.devices, 1)
        yield from at_least("num_nodes", self.num_nodes, 1)
        if self.strategy not in STRATEGIES:
            yield "strategy", f"must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}"
        if self.accelerator not in ACCELERATORS:
            known = ", ".join(ACCELERATORS)
            yield "accelerator", f"must be one of {known}, got {self.accelerator!r}"
        yield from at_least("threads", self.threads, 1)
        yield from at_least("workers", self.workers, 1)
        yield from at_least("log_every_n_steps", self.log_every_n_steps, 1)
        for name, entry in self.callbacks.items():
            if not isinstance(entry, dict) or not entry.get("_target_"):
                yield (
                    f"callbacks.{name}",
                    f"names no class: it needs _target_, the path of a Lightning callback; got "
                    f"{entry!r}",
                )


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
        if find_spec("wandb") is None:
            yield "name", "wandb is not installed: pip install wandb, or choose logger=csv or none"


@dataclass
class SweepConfig:
    """How the jobs of a grid (``-m``) are shared out."""

    take: str = "all"
    """``all``: this command runs them all; ``free``: those that no other copy of it has taken."""
    wait: bool = True
    """With ``free``: stay until all are done, to take over from copies that die."""
    attempts: int = 3
    """With ``free``: how often a job that fails or kills its process is begun in all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("attempts", self.attempts, 1)
        if self.take not in ("all", "free"):
            yield "take", f"must be all or free, got {self.take!r}"


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
    donor: str = ""
    """The step whose model ``donor.path`` gives instead, e.g. ``instruct``."""
    run: list[str] = field(default_factory=list)
    """Steps that hold scores of their own (``transplant``) and are asked for."""
    evaluate: list[str] = field(default_factory=list)
    """Steps whose models are scored with ``eval_suite``."""
    export: list[str] = field(default_factory=list)
    """Steps whose models are written as transformers checkpoints."""
