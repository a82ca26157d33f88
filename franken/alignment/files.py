"""Word-pair counts from files that another aligner left."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from franken.alignment.formats import read_moses, read_word_table
from franken.alignment.links import table_of_links
from franken.alignment.table import WordTable
from franken.config.alignment import FilesAlignment

if TYPE_CHECKING:
    from franken.data.source import Pair


def align(pairs: Iterable["Pair"], config: FilesAlignment, language: str) -> WordTable:
    """Read the files of a language; the parallel text of the data is not looked at."""
    paths = config.paths(language)
    if "table" in paths:
        return read_word_table(paths["table"], config.columns)
    bitext, links = read_moses(paths["source"], paths["target"], paths["links"])
    return table_of_links(bitext, links, "files")
