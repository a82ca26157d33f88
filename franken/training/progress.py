"""How far training is: a bar on a terminal, a plain line now and then elsewhere."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from franken.progress import Lines


class StepProgress(Callback):
    """Optimiser steps done, with loss and tokens per second."""

    def __init__(self, steps: int, console: Console) -> None:
        self.steps, self.console = steps, console
        self._bar: Progress | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar."""
        if not trainer.is_global_zero:
            return
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            console=self.console,
            transient=True,
        )
        self._bar.add_task("training", total=self.steps, loss=float("nan"))
        self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=pl_module.steps_done, loss=pl_module.last_loss)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the bar away."""
        self._stop()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Take the bar away."""
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class StepLines(Callback):
    """Optimiser steps done, their rate and the time left, where there is no terminal."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._lines = Lines("training")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Say a line if one is due."""
        if trainer.is_global_zero:
            self._lines("", pl_module.steps_done, self.steps)
