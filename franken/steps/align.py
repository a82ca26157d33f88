"""Count word pairs in the parallel text of every target language."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.alignment.base import Alignment
from franken.alignment.gold import GoldAlignment
from franken.config.data import DataConfig
from franken.data import DataSource, Pair, open_data
from franken.errors import DataError
from franken.files import write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import whole_hash
from franken.steps.common.key_parts import texts

with later():
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from franken.alignment import WordTable, save_tables
    from franken.config.root import Config
    from franken.parts.model import assemble
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model


@step
class AlignStep(Step):
    """Count word pairs in the parallel text of every target language."""

    version: ClassVar[int] = 3
    seeded: ClassVar[bool] = False
    output: ClassVar[Part] = Part.alignment
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str | None = None
    """Whose states an aligner reads that reads some (``awesome_align``)."""
    alignment: Alignment = field(default_factory=Alignment)
    gold: bool = False
    """Count the links that come with the data, whatever ``alignment`` says."""
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        if self.gold:
            self.alignment = GoldAlignment()

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.alignment.reads_model and self.model is None:
            yield "model", f"is missing: alignment={self.alignment.name} reads a model's states"

    def key(self, config: Config) -> dict[str, Any]:
        """Files made elsewhere enter by their contents, and then the data's text does not count."""
        content = asdict(self.alignment)
        if self.alignment.reads_text:
            return {"alignment": content, "data": texts(self.data)}
        languages = self.data.languages
        paths = {language: self.alignment.paths(language) for language in languages}
        files = {
            language: {role: whole_hash(path, f"alignment.{role}") for role, path in found.items()}
            for language, found in paths.items()
        }
        own = {name: value for name, value in content.items() if value is not None}
        for role in ("name", *(role for found in paths.values() for role in found)):
            own.pop(role, None)
        return {**own, "files": files, "languages": languages}

    def check(self, data: DataSource) -> None:
        for language in self.data.languages:
            _refuse_without_pairs(self.alignment, data, language)

    def run(self, context: StepContext) -> dict[str, Any]:
        """One word table per target language, and a report."""
        source, given = open_data(self.data), None
        if self.alignment.reads_model:
            ref = open_model(context.inputs["model"], context.store)
            given = assemble(ref, device=context.device)
        tables = {
            language: _align(self.alignment, source, language, given)
            for language in self.data.languages
        }
        save_tables(tables, context.directory)
        report = {language: _summary(table) for language, table in tables.items()}
        write_json(context.directory / "report.json", report)
        return {"pairs": {language: len(table) for language, table in tables.items()}}


def _refuse_without_pairs(config: Alignment, source: DataSource, language: str) -> None:
    if config.reads_text and not source.has("parallel", language):
        raise DataError(
            f"alignment={config.name} needs parallel text, and the data has no role parallel for "
            f"{language!r}; name one (data.parallel.train), drop the language, give alignments by "
            "alignment=files, or choose an init_method that needs none"
        )


def _align(
    config: Alignment, source: DataSource, language: str,
    given: tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
) -> WordTable:  # fmt: skip
    _refuse_without_pairs(config, source, language)
    stream = _counted(source, language) if config.reads_text else iter(())
    if given is not None:
        return config.align_by(*given, stream, language)
    return config.align(stream, language)


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
