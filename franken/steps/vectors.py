"""Static vectors of words or pieces: trained on the data's monolingual text, or read from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, field
from functools import partial
from itertools import chain, islice
from typing import Any, ClassVar

from franken.config.data import DataConfig
from franken.data import DataSource, open_data
from franken.data.source import TEXT_STREAMS
from franken.errors import CompatibilityError, DataError
from franken.files import write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import hash_or_missing
from franken.steps.common.key_parts import texts
from franken.word_vectors.base import PieceSide, VectorUnit, WordVectors

with later():
    from franken.config.root import Config
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model
    from franken.word_vectors import save_spaces


@step
class VectorsStep(Step):
    """Train or read static vectors."""

    version: ClassVar[int] = 4
    output: ClassVar[Part] = Part.vectors
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model, "tokenizer": Part.vocabulary}
    unit: VectorUnit = VectorUnit.words
    side: PieceSide | None = None
    """For ``unit: pieces``, whose tokenizer cuts the text; ``null`` makes a space of each."""
    base: str | None = None
    """The source's, for ``unit: pieces``."""
    tokenizer: str | None = None
    """The target's, for ``unit: pieces``."""
    vectors: WordVectors = field(default_factory=WordVectors)
    data: DataConfig = field(default_factory=DataConfig)

    def references(self) -> dict[str, str]:
        """Vectors of words depend on no tokenizer, those of one side's pieces on its own."""
        found = super().references()
        return {key: value for key, value in found.items() if key in self._read().values()}

    def _read(self) -> dict[str, str]:
        """Side -> the field that names where its tokenizer comes from."""
        if self.unit is not VectorUnit.pieces:
            return {}
        fields = {"target": "tokenizer", "source": "base"}
        return fields if self.side is None else {str(self.side): fields[str(self.side)]}

    def faults(self) -> Iterator[tuple[str, str]]:
        lacking = [name for name in self._read().values() if not getattr(self, name)]
        if lacking:
            yield "unit", f"pieces needs the steps named by {' and '.join(lacking)}"

    def key(self, config: Config) -> dict[str, Any]:
        """Of files the content counts, of text that it is trained on the options."""
        unit: dict[str, Any] = {"unit": str(self.unit)}
        if self.side is not None and self._read():
            unit["side"] = str(self.side)
        if self.vectors.reads_text:
            return {**unit, "vectors": asdict(self.vectors), "data": texts(self.data)}
        files = self.vectors.files(self.unit, [self.data.source_language, *self.data.languages])
        if sides := self._read():
            files = {side: path for side, path in files.items() if side in sides}
        return {
            **unit, "files": {key: hash_or_missing(path) for key, path in files.items()},
            **{k: v for k, v in asdict(self.vectors).items() if k not in ("name", "path", "paths")},
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes one space per language, or per side for pieces."""
        data, languages = open_data(self.data), self.data.languages

        def lines(language: str, most: int | None) -> Iterable[str]:
            return _lines(data, language, most)

        if self.unit is VectorUnit.words:
            spaces = self.vectors.of_words(
                [self.data.source_language, *languages],
                lines,
                partial(derive_seed, context.seed, "word_vectors"),
            )
        else:
            spaces = self.vectors.of_pieces(
                self._tokenizers(context), languages, lines,
                derive_seed(context.seed, "piece_vectors"),
            )  # fmt: skip
        widths = {key: space.dim for key, space in spaces.items()}
        if len(set(widths.values())) > 1:
            raise CompatibilityError(f"word vectors differ in dimension: {widths}; use one width")
        save_spaces(spaces, context.directory)
        report = {
            key: {
                "words": len(space.words),
                "dimensions": space.dim,
                "occurrences": None if space.counts is None else int(space.counts.sum()),
                "ngram_rows": 0 if space.ngrams is None else len(space.ngrams),
            }
            for key, space in spaces.items()
        }
        write_json(context.directory / "report.json", report)
        return {"unit": str(self.unit), "words": {key: len(s.words) for key, s in spaces.items()}}

    def _tokenizers(self, context: StepContext) -> dict[str, Any]:
        """Side -> tokenizer; without tokenizers where vectors are read from files."""
        if not self.vectors.reads_text:
            return dict.fromkeys(self._read())
        return {side: self._tokenizer(context, side) for side in self._read()}

    def _tokenizer(self, context: StepContext, side: str) -> Any:
        if side == "target":
            return load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
        return load_tokenizer(open_model(context.inputs["base"], context.store).table)


def _lines(data: DataSource, language: str, most: int | None) -> Iterable[str]:
    """Lines of one language's monolingual text and documents; those of both roles once.

    Sentences are often the lines of the documents, and read twice they say nothing new.

    Raises:
        DataError: where there is none.
    """
    stream: Iterator[str] = islice(_distinct(data, language), most)
    first = next(stream, None)
    if first is None:
        raise DataError(
            f"word vectors need monolingual text of {language!r}, and the data option "
            f"{data.config.name!r} has none; add data.monolingual for it, or read vectors made "
            "elsewhere (word_vectors=files)"
        )
    return chain([first], stream)


def _distinct(data: DataSource, language: str) -> Iterator[str]:
    """Lines of the monolingual text, then those of the documents that were not among them."""
    seen: set[int] = set()
    for role in TEXT_STREAMS:
        if not data.has(role, language):
            continue
        own: set[int] = set()
        for text in data.texts(role, language):
            for line in filter(str.strip, text.splitlines()):
                own.add(mark := hash(line))
                if mark not in seen:
                    yield line
        seen |= own
