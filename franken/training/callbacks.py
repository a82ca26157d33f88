"""What happens at the end of an optimiser step: log, validate, select, checkpoint, in this order.

One callback owns the order, so a run that is killed anywhere and started again does the same
things at the same steps. Lightning's own validation and checkpointing stay switched off.
"""

import copy
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from franken.interruption import Interrupted, StopRequest, listening
from franken.training.batches import Batch, StepFeed, rows_of_rank, to_device
from franken.training.checkpoint_tensors import load_optimizer, run_tensors
from franken.training.checkpoints import CheckpointFolder
from franken.training.module import CausalModule
from franken.training.sharding import is_sharded
from franken.training.state import RunState, is_curve_point

log = logging.getLogger(__name__)

OnLog = Callable[[dict[str, float]], None]


class FollowRun(Callback):
    """Keeps the run's state and does what is due after each optimiser step.

    Args:
        state: of the run so far; updated in place.
        feed: the training batches, for their position.
        folder: where checkpoints go.
        validation: fixed validation batches; may be empty.
        saved: the checkpoint to continue with; ``None`` for a fresh run.
        on_log: called with every point of the training curve.
    """

    def __init__(
        self,
        state: RunState,
        feed: StepFeed,
        folder: CheckpointFolder,
        validation: Sequence[Batch],
        *,
        saved: dict[str, Any] | None = None,
        on_log: OnLog | None = None,
    ) -> None:
        self.state, self.feed, self.folder = state, feed, folder
        self.validation, self.on_log = validation, on_log
        self._saved = None
        if saved is not None:
            kept = ("optimizer", "scaler", "scalars", "shards")
            self._saved = {key: saved[key] for key in kept if key in saved}
        self._started = 0.0
        self._saved_at = 0.0
        self._tokens = self._bytes = 0
        self._signals: ExitStack | None = None
        self._stop = StopRequest()

    def for_others(self) -> "FollowRun":
        """A copy for the other processes, which tell nobody."""
        twin = copy.copy(self)
        twin.on_log = None
        return twin

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Continue the optimiser, or note where an untrained model stands; from now on, listen."""
        module = _module(pl_module)
        self._signals = ExitStack()
        self._stop = self._signals.enter_context(listening())
        if self._saved is not None:
            load_optimizer(module, trainer.optimizers[0], self._saved)
            trainer.precision_plugin.load_state_dict(self._saved.get("scaler") or {})
            self._saved = None
        elif module.config.validate_every and self.state.step == 0:
            self._validate(trainer, pl_module)
        self._started = self._saved_at = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Signals are no longer ours."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Signals are no longer ours."""
        self._close()

    def _close(self) -> None:
        if self._signals is not None:
            self._signals.close()
            self._signals = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch; at the end of an optimiser step, do what is due."""
        module = _module(pl_module)
        config, state = module.config, self.state
        self._tokens += int(batch["real_tokens"])
        self._bytes += int(batch.get("text_bytes", 0))
        if (batch_idx + 1) % config.accumulate:
            return
        read_text = "input_ids" in batch
        state.add_step(module.last_loss if read_text else None, self._tokens, self._bytes)
        self._tokens = self._bytes = 0
        module.steps_done = state.step
        last = state.step == config.steps
        if is_curve_point(state.step, config.steps):
            self._log(trainer, module)
        every = config.validate_every
        validate = last or (every > 0 and state.step % every == 0)
        late, stop = self._agree(trainer, config.checkpoint_minutes)
        save = last or late or stop > 0 or state.step % config.checkpoint_every == 0
        if validate or save:
            self.state.seconds += time.perf_counter() - self._started
            if validate:
                self._validate(trainer, module)
            if save:
                self._save(trainer, module)
            self._started = time.perf_counter()
        if stop and not last:
            raise Interrupted(stop, f" after step {state.step} of {config.steps}, which is kept")

    def _agree(self, trainer: Trainer, minutes: float) -> tuple[bool, int]:
        """Whether the last checkpoint is too old, and the signal that came: alike everywhere.

        A signal may reach one process only, and clocks differ.
        """
        late = minutes > 0 and time.perf_counter() - self._saved_at >= 60 * minutes
        found = torch.tensor([int(late), self._stop.number or 0])
        if trainer.world_size > 1:
            found = found.to(trainer.strategy.root_device)
            torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
        late_anywhere, stop = found.tolist()
        return bool(late_anywhere), int(stop)

    # --- inner ---------------------------------------------------------------------------------

    def _log(self, trainer: Trainer, module: CausalModule) -> None:
        point = self.state.close_window(
            module.last_lr, module.last_grad_norm, module.measures, module.last_loss
        )
        named = {f"train/{k}": v for k, v in point.items() if k != "step"}
        self._send(trainer, {**named, "train/tokens": float(self.state.tokens)})
        if self.on_log is not None:
            self.on_log(point)

    def _send(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics(metrics, step=self.state.step)

    def _validate(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.validation:
            return
        module, state = _module(pl_module), self.state
        sums = torch.zeros(2, dtype=torch.float64)
        with evaluating(module), torch.no_grad():
            for index, batch in enumerate(self.validation):
                own = rows_of_rank(batch, module.global_rank, trainer.world_size)
                mine = to_device(own, module.device)
                pair: Any = trainer.strategy.validation_step(mine, index)
                sums += pair.cpu()
        if is_sharded(trainer):
            module.reshard()  # type: ignore[operator]
        if trainer.world_size > 1:
            total = trainer.strategy.reduce(sums.to(module.device), reduce_op="sum")
            sums = total.cpu() if isinstance(total, torch.Tensor) else sums
        loss = float(sums[0] / sums[1].clamp(min=1))
        point = state.add_validation(loss)
        log.info("step %d: validation loss %.4f nats per token", state.step, loss)
        self._send(trainer, {"valid/loss": point["loss"], "valid/bits_per_token": point["bits"]})
        better = state.best_loss is None or loss < state.best_loss
        if module.config.validate_every and state.step and better:
            state.best_step, state.best_loss = state.step, loss
            self._write(trainer, module, "best", {})

    def _save(self, trainer: Trainer, module: CausalModule) -> None:
        content = {
            "step": self.state.step,
            "state": self.state.plain(),
            "feed": self.feed.state_dict() if trainer.is_global_zero else {},
            "scaler": trainer.precision_plugin.state_dict(),
        }
        self._write(trainer, module, "step", content)
        if trainer.is_global_zero:
            self.folder.prune(self.state.best_step)
        self._saved_at = time.perf_counter()

    def _write(
        self, trainer: Trainer, module: CausalModule, kind: str, content: dict[str, Any]
    ) -> None:
        """The trained weights, and for ``step`` the optimiser's state: whole, or by shards."""
        optimizer = trainer.optimizers[0] if kind == "step" else None
        parts = run_tensors(module, optimizer, sharded=is_sharded(trainer))
        best = self.state.best_step if kind == "step" else None
        step = self.state.step
        if not is_sharded(trainer):
            if trainer.is_global_zero:
                self.folder.save(kind, step, {**content, **parts}, best_step=best)
            return
        tensors = parts.pop("tensors")
        token = str(trainer.strategy.broadcast(uuid.uuid4().hex))
        self.folder.save_sharded(kind, step, {**content, **parts}, tensors, token, best_step=best)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """All in ``eval`` mode inside; afterwards every module is as it was (frozen ones differ)."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _module(module: LightningModule) -> CausalModule:
    assert isinstance(module, CausalModule)
    return module
