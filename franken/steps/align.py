"""Count word pairs in the parallel text of every target language."""

from collections.abc import Iterator
from typing import Any

from franken.alignment import WordTable, align_pairs, save_tables
from franken.config.alignment import AlignmentConfig, FilesAlignment
from franken.config.steps import AlignStep
from franken.data import DataSource, Pair, open_data
from franken.errors import DataError
from franken.files import write_json
from franken.steps.context import StepContext


def run(step: AlignStep, context: StepContext) -> dict[str, Any]:
    """One word table per target language, and a report."""
    source = open_data(step.data)
    tables = {
        language: _align(step.alignment, source, language) for language in step.data.languages
    }
    save_tables(tables, context.directory)
    report = {language: _summary(table) for language, table in tables.items()}
    write_json(context.directory / "report.json", report)
    return {"pairs": {language: len(table) for language, table in tables.items()}}


def _align(config: AlignmentConfig, source: DataSource, language: str) -> WordTable:
    reads_files = isinstance(config, FilesAlignment)
    if not reads_files and not source.has("parallel", language):
        raise DataError(
            f"alignment={config.name} needs parallel text, and the data has no role parallel for "
            f"{language!r}; name one (data.parallel.train), drop the language, give alignments by "
            "alignment=files, or choose an init_method that needs none"
        )
    stream = iter(()) if reads_files else _counted(source, language)
    return align_pairs(stream, config, language)


def _counted(source: DataSource, language: str) -> Iterator[Pair]:
    """The pairs of a language; none at all is an error that names it."""
    empty = True
    for pair in source.pairs(language):
        empty = empty and not (pair.source.split() and pair.target.split())
        yield pair
    if empty:
        raise DataError(
            f"the parallel text of {language!r} (role parallel, split train) holds no sentence "
            "pair with words on both sides, so there is nothing to align"
        )


def _summary(table: WordTable) -> dict[str, Any]:
    return {
        "word_pairs": len(table),
        "source_words": len(table.source),
        "target_words": len(table.target),
        "links": float(table.links.sum()),
        **table.notes,
    }
