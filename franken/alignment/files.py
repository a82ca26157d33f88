"""Word-pair counts from files that another aligner left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from typing import ClassVar

from franken.alignment.base import Alignment
from franken.declare import option
from franken.lazy import later

with later():
    from pathlib import Path

    from franken.alignment.common.formats import read_moses, read_word_table
    from franken.alignment.common.links import table_of_links
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair

TABLE_COLUMNS = ("source", "target", "count", "probability", "log_probability")


@option
class FilesAlignment(Alignment):
    """Pharaoh links with their two text files, or a TSV of word pairs, made elsewhere."""

    reads_text: ClassVar[bool] = False

    links: str | None = None
    """Pharaoh links, ``0-0 1-2`` per line, of the two text files."""
    source: str | None = None
    """Text whose words, between spaces, ``links`` numbers first."""
    target: str | None = None
    """Text whose words ``links`` numbers second."""
    table: str | None = None
    """Instead of links: a TSV of word pairs."""
    columns: list[str] = field(default_factory=lambda: ["source", "target", "count"])
    """What the columns of ``table`` hold: source, target, count, probability, log_probability.
    Trans-Tokenization's export is source, target, log_probability, count."""

    def faults(self) -> Iterator[tuple[str, str]]:
        given = [name for name in ("links", "source", "target") if getattr(self, name)]
        if self.table is None and len(given) < 3:
            yield "links", "needs the files links, source and target, or a table instead"
        if self.table is not None and given:
            yield "table", f"is given beside {', '.join(given)}; give links or a table"
        unknown = [name for name in self.columns if name not in TABLE_COLUMNS]
        if unknown or not {"source", "target", "count"} <= set(self.columns):
            yield (
                "columns",
                f"must name source, target and count, and may name {', '.join(TABLE_COLUMNS[3:])}; "
                f"got {self.columns}",
            )

    def paths(self, language: str) -> dict[str, Path]:
        """Role (links, source, target, table) -> file of a language."""
        return {
            role: Path(value.replace("{lang}", language)).expanduser()
            for role in ("links", "source", "target", "table")
            if (value := getattr(self, role))
        }

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Read the files of a language; the parallel text of the data is not looked at."""
        paths = self.paths(language)
        if "table" in paths:
            return read_word_table(paths["table"], self.columns)
        bitext, links = read_moses(paths["source"], paths["target"], paths["links"])
        return table_of_links(bitext, links, "files")
