"""What a user may say to Lightning beside franken's own options: arguments, callbacks, data."""

import inspect
from pathlib import Path
from typing import Any

from franken.config.trainer import TrainerConfig
from franken.config.training import TrainingConfig
from franken.errors import ConfigError

PASSED_ON = (
    "max_time", "log_every_n_steps", "enable_progress_bar", "enable_model_summary", "profiler",
    "detect_anomaly", "benchmark", "inference_mode", "sync_batchnorm", "plugins",
    "default_root_dir", "enable_autolog_hparams", "model_registry",
)  # fmt: skip
"""Arguments of Lightning's Trainer that ``trainer.*`` hands over as they are."""


def lightning_options(config: TrainerConfig, scratch: Path, max_steps: int) -> dict[str, Any]:
    """Keyword arguments for ``pl.Trainer``.

    Args:
        config: what the user says.
        scratch: for Lightning's own files.
        max_steps: of this training; loggers write at its end at the latest.
    """
    chosen = {name: made(getattr(config, name), f"trainer.{name}") for name in PASSED_ON}
    chosen["default_root_dir"] = chosen["default_root_dir"] or scratch
    chosen["log_every_n_steps"] = min(chosen["log_every_n_steps"] or 50, max_steps)
    chosen["plugins"] = chosen["plugins"] or None
    return chosen


def own_callbacks(config: TrainerConfig) -> list[Any]:
    """The callbacks of ``trainer.callbacks``.

    Raises:
        ConfigError: where one cannot be made.
    """
    return [made(entry, f"trainer.callbacks.{name}") for name, entry in config.callbacks.items()]


def own_datamodule(phase: TrainingConfig, where: str, **offered: Any) -> Any:
    """The user's data module, given of ``offered`` what it takes; ``None`` where none is named.

    Raises:
        ConfigError: where it cannot be made, or serves no training batches.
    """
    if phase.datamodule is None:
        return None
    from hydra.utils import get_object

    target = str(phase.datamodule["_target_"])
    try:
        taken = inspect.signature(get_object(target)).parameters
    except Exception as error:
        raise ConfigError(f"{where}.datamodule: {target!r} cannot be imported: {error}") from error
    known = {name: value for name, value in offered.items() if name in taken}
    module = made({**phase.datamodule}, f"{where}.datamodule", **known)
    if not hasattr(module, "train_dataloader"):
        raise ConfigError(
            f"{where}.datamodule: {target!r} is a {type(module).__name__}, which has no "
            "train_dataloader; expected a LightningDataModule"
        )
    return module


def made(value: Any, where: str, **more: Any) -> Any:
    """A value, with ``_target_`` entries in it made into what they name.

    Raises:
        ConfigError: names the key.
    """
    if isinstance(value, list):
        return [made(item, where) for item in value]
    if not isinstance(value, dict) or "_target_" not in value:
        return value
    from hydra.utils import instantiate

    try:
        return instantiate(value, **more)
    except Exception as error:
        raise ConfigError(f"{where}: {value['_target_']!r} cannot be made: {error}") from error
