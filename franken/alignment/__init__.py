"""Word alignment: how often words of two languages translate each other.

An aligner is a module of this package with a function ``align(pairs, config, language)`` and an
option of the same name in ``conf/alignment/``. Counts depend on no tokenizer and no model.
"""

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franken.alignment.table import DESCRIPTION_FILE, WordTable
from franken.config.alignment import OPTIONS, AlignmentConfig
from franken.config.checks import hint
from franken.errors import ConfigError

if TYPE_CHECKING:
    from franken.data.source import Pair

__all__ = ["WordTable", "align_pairs", "load_tables", "save_tables"]


def align_pairs(
    pairs: Iterable["Pair"], config: AlignmentConfig, language: str = "the target language"
) -> WordTable:
    """Count word pairs with the aligner that the config names.

    Args:
        pairs: sentence pairs, source first; read once.
        config: options of the aligner.
        language: target language, for messages and for the names of files.

    Raises:
        ConfigError: for an unknown aligner.
        DataError: where the text is empty, or the aligner lacks something.
    """
    if config.name not in OPTIONS:
        raise ConfigError(f"alignment.name: unknown {config.name!r}.{hint(config.name, OPTIONS)}")
    module: Any = importlib.import_module(f"franken.alignment.{config.name}")
    table: WordTable = module.align(pairs, config, language)
    return table


def save_tables(tables: Mapping[str, WordTable], directory: Path) -> None:
    """Write one folder per target language."""
    for language, table in tables.items():
        table.save(Path(directory) / language)


def load_tables(directory: Path) -> dict[str, WordTable]:
    """Read what :func:`save_tables` wrote: target language -> table, sorted by language."""
    found = sorted(Path(directory).glob(f"*/{DESCRIPTION_FILE}"))
    return {path.parent.name: WordTable.load(path.parent) for path in found}
