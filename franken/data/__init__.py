"""Text by role and evaluation sets by schema; ``open_data`` opens the option a config names."""

from importlib import import_module
from typing import Any

from franken.config.data import DataConfig, FileData, MicroworldData
from franken.data.source import DataSource, Instruction, Pair, Preference

__all__ = ["DataSource", "Instruction", "Pair", "Preference", "open_data"]


def open_data(config: DataConfig) -> DataSource:
    """Opens a data option.

    The option's module is imported only now: ``franken.data.files`` for every ``FileData`` whatever
    its name, ``franken.data.microworld`` for the microworld, else ``franken.data.<config.name>``.
    It must offer ``open_source(config)``.

    Args:
        config: A config of the group ``data``.

    Returns:
        The opened source. Nothing has been read yet.
    """
    match config:
        case FileData():
            name = "files"
        case MicroworldData():
            name = "microworld"
        case _:
            name = config.name
    source: DataSource = import_module(f"{__name__}.{name}").open_source(config)
    if config.romanise.languages:
        romanised: Any = import_module(f"{__name__}.romanised")
        source = romanised.Romanised(source, config.romanise)
    return source
