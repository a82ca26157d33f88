"""Options of the group ``trainer``: where and how Lightning runs; only precision is in keys."""

from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least
from franken.declare import schema

STRATEGIES = ("auto", "ddp", "fsdp")
ATTENTIONS = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3")
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


@schema("trainer")
class TrainerConfig:
    """Where and how Lightning runs: every argument of its Trainer that franken does not set."""

    name: str = "cpu"
    """The option, as results name it."""
    accelerator: str = "cpu"
    """cpu, gpu (or cuda), auto: a GPU where there is one; scoring runs there too."""
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
    compile: str | None = None
    """Backend of ``torch.compile`` for the layers while they train, e.g. ``inductor``; ``null``: as
    they are written."""
    attention: str | None = None
    """While the model trains: ``eager``, ``sdpa`` (torch's kernels, FlashAttention among them where
    masks let it), ``flex_attention``, or ``flash_attention_2`` and ``flash_attention_3`` of the
    package flash-attn; ``null``: as it was loaded."""
    offload: bool = False
    """Whether frozen weights of layers wait in CPU memory and come to the GPU layer by layer, for a
    body that does not fit on it. Activations are computed anew, as with
    ``activation_checkpointing``. Of one process, and not of an 8- or 4-bit body."""
    deterministic: bool = True
    """Whether only operations are used that give the same bits each time."""
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
    """Lightning's table of layers at the start."""
    profiler: Any = None
    """simple, advanced, pytorch, or ``_target_``."""
    detect_anomaly: bool = False
    """Whether autograd looks for the operation that made a NaN; slow."""
    benchmark: bool | None = None
    """Whether cuDNN tries its algorithms; ``null``: not where ``deterministic`` is set."""
    inference_mode: bool = True
    """Whether validation runs under ``inference_mode`` rather than ``no_grad``."""
    sync_batchnorm: bool = False
    """Whether batch norms share their statistics among processes; the usual families have none."""
    plugins: list[Any] = field(default_factory=list)
    """``_target_`` entries."""
    default_root_dir: str | None = None
    """Where Lightning's own files go; ``null``: the step's scratch directory."""
    enable_autolog_hparams: bool = True
    """Whether Lightning writes the module's own settings to the loggers."""
    model_registry: str | None = None
    """Name of a model for Lightning's cloud; franken does not use it."""

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
        if self.accelerator == "cpu" and self.precision is Precision.fp16_mixed:
            yield "precision", "fp16_mixed needs a GPU: a CPU would compute in bf16; use bf16_mixed"
        yield from at_least("threads", self.threads, 1)
        yield from at_least("workers", self.workers, 1)
        if self.attention is not None and self.attention not in ATTENTIONS:
            yield (
                "attention",
                f"must be one of {', '.join(ATTENTIONS)}, got {self.attention!r}",
            )
        if "flash" in (self.attention or "") and self.precision is Precision.fp32:
            yield "attention", f"{self.attention} computes in 16 bits; set precision=bf16_mixed"
        if self.compile is not None and self.strategy == "fsdp":
            yield "compile", "does not go with strategy=fsdp, which gathers weights layer by layer"
        if self.offload and (self.processes > 1 or self.strategy == "fsdp"):
            yield (
                "offload",
                "is there for one process; several share out the body with strategy=fsdp",
            )
        if self.offload and self.compile is not None:
            yield "offload", "does not go with compile: weights come and go inside of it"
        yield from at_least("log_every_n_steps", self.log_every_n_steps, 1)
        for name, entry in self.callbacks.items():
            if not isinstance(entry, dict) or not entry.get("_target_"):
                yield (
                    f"callbacks.{name}",
                    f"names no class: it needs _target_, the path of a Lightning callback; got "
                    f"{entry!r}",
                )
