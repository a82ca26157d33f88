"""Text by role and evaluation sets by schema; ``open_data`` opens the option a config names."""

from importlib import import_module
from typing import Any

from franken.config.data import DataConfig
from franken.data.source import DataSource, Instruction, Pair, Preference

__all__ = ["DataSource", "Instruction", "Pair", "Preference", "open_data"]


def open_data(config: DataConfig) -> DataSource:
    """Open a data option; nothing is read yet.

    Args:
        config: of the group ``data``; its schema names the module that opens it.
    """
    source: DataSource = import_module(config.opened_by).open_source(config)
    if config.romanise.languages:
        romanised: Any = import_module(f"{__name__}.romanised")
        source = romanised.Romanised(source, config.romanise)
    return source
