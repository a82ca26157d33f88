"""The steps that are left, as every process of a training does them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger
from torch import nn
from transformers import PreTrainedModel

from franken.config.trainer import Precision, TrainerConfig
from franken.parts.anatomy import anatomy_of
from franken.parts.segmented import segmented
from franken.products import quicker_products
from franken.training.callbacks import FollowRun
from franken.training.environment import (
    attending,
    checkpointed_layers,
    compiled,
    isolated,
    uninterrupted,
)
from franken.training.lightning_options import lightning_options, own_callbacks
from franken.training.module import CausalModule
from franken.training.offload import offloaded
from franken.training.sharding import strategy_of

_LIGHTNING_PRECISION = {
    Precision.fp32: "32-true",
    Precision.bf16_mixed: "bf16-mixed",
    Precision.fp16_mixed: "16-mixed",
}


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of the body, in order."""
    return list(model.get_submodule(anatomy_of(model.config).layers).children())


def layers_offloaded(
    model: PreTrainedModel, trainer: TrainerConfig
) -> AbstractContextManager[None]:
    """Frozen weights of the layers in CPU memory, where ``trainer.offload`` asks for it."""
    if not trainer.offload:
        return nullcontext()
    return offloaded(layers_of(model), torch.device(trainer.device))


@dataclass
class TrainingLoop:
    """A module, its batches, and what is to happen after each step."""

    module: CausalModule
    feed: Any
    """Batches of the steps that are left; has a length."""
    follow: FollowRun
    trainer: TrainerConfig
    steps: int
    """Optimiser steps left."""
    directory: Path

    def run(
        self,
        callbacks: Sequence[pl.Callback] = (),
        loggers: Sequence[Logger] = (),
        environment: ClusterEnvironment | None = None,
    ) -> None:
        """Do the steps.

        Args:
            callbacks: beside the one that follows the run.
            loggers: of this process.
            environment: tells Lightning of processes that were started already.
        """
        model, config = self.module.model, self.module.config
        layers, on_the_way = layers_of(model), self.trainer.offload
        partial = segmented(model) is not None or self.module.leaves_out
        with (
            isolated(self.trainer.threads),
            uninterrupted(),
            layers_offloaded(model, self.trainer),
            checkpointed_layers(layers, config.activation_checkpointing and not on_the_way),
            attending(model, self.trainer.attention),
            quicker_products(self.module),  # the module does it too, but not where a fit fails
            compiled(self.module.backbone, self.trainer.compile),
        ):
            chosen = [self.follow, *own_callbacks(self.trainer), *callbacks]
            lightning = self._lightning(chosen, loggers, environment, partial)
            lightning.fit(self.module, train_dataloaders=self.feed)

    def _lightning(
        self,
        callbacks: list[pl.Callback],
        loggers: Sequence[Logger],
        environment: ClusterEnvironment | None,
        partial: bool,
    ) -> pl.Trainer:
        config = self.trainer
        options = lightning_options(config, self.directory, self.steps)
        options["plugins"] = [*(options["plugins"] or []), environment or LightningEnvironment()]
        deterministic: Any = config.deterministic
        if config.deterministic and config.device != "cpu":
            deterministic = "warn"  # some CUDA kernels have no deterministic form
        return pl.Trainer(
            accelerator=config.accelerator,
            devices=config.devices,
            num_nodes=config.num_nodes,
            strategy=strategy_of(config, partial=partial, started=environment is not None),
            precision=_LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]
            max_steps=self.steps,
            max_epochs=1,
            accumulate_grad_batches=self.module.config.accumulate,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            callbacks=callbacks,
            logger=list(loggers) or False,
            enable_checkpointing=False,
            use_distributed_sampler=False,
            **options,
            deterministic=deterministic,
        )
