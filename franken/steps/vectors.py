"""Static vectors of words or pieces: trained on the data's monolingual text, or read from files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from franken.config.data import DataConfig
from franken.config.word_vectors import (
    PIECE_SIDES,
    TrainedVectors,
    VectorFiles,
    VectorUnit,
    WordVectorsConfig,
)
from franken.errors import CompatibilityError, DataError
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.config.root import Config
    from franken.data import DataSource, open_data
    from franken.data.source import TEXT_STREAMS
    from franken.files import write_json
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.file_hashes import hash_or_missing
    from franken.steps.common.key_parts import texts
    from franken.steps.common.models import open_model
    from franken.word_vectors import VectorSpace, save_spaces


@step
class VectorsStep(Step):
    """Train or read static vectors."""

    version: ClassVar[int] = 2
    output: ClassVar[Part] = Part.vectors
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model, "tokenizer": Part.vocabulary}
    unit: VectorUnit = VectorUnit.words
    base: str | None = None
    """Whose tokenizer cuts the text for ``unit: pieces``, beside the target's."""
    tokenizer: str | None = None
    vectors: WordVectorsConfig = field(default_factory=WordVectorsConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def references(self) -> dict[str, str]:
        """Vectors of words depend on no tokenizer."""
        return super().references() if self.unit is VectorUnit.pieces else {}

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.unit is VectorUnit.pieces and not (self.base and self.tokenizer):
            yield "unit", "pieces needs the steps named by base and tokenizer"

    def key(self, config: Config) -> dict[str, Any]:
        """Of files the content counts, of text that it is trained on the options."""
        unit = str(self.unit)
        if not isinstance(self.vectors, VectorFiles):
            return {"unit": unit, "vectors": asdict(self.vectors), "data": texts(self.data)}
        files = self.vectors.files(self.unit, [self.data.source_language, *self.data.languages])
        return {
            "unit": unit, "files": {key: hash_or_missing(path) for key, path in files.items()},
            "max_words": self.vectors.max_words, "ngrams": self.vectors.ngrams,
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes one space per language, or ``target`` and ``source`` for pieces."""
        if isinstance(self.vectors, VectorFiles):
            spaces = _read(self, self.vectors)
        elif isinstance(self.vectors, TrainedVectors):
            train = _train_words if self.unit is VectorUnit.words else _train_pieces
            spaces = train(self, self.vectors, context)
        else:
            raise TypeError(f"no word vectors are defined for option {self.vectors.name!r}")
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


def _read(step: VectorsStep, config: VectorFiles) -> dict[str, VectorSpace]:
    from franken.word_vectors.read import read_vectors

    files = config.files(step.unit, [step.data.source_language, *step.data.languages])
    if step.unit is VectorUnit.pieces and not any(files.values()):
        raise DataError(
            "word_vectors=files names no vectors of pieces; give +word_vectors.paths.target=FILE "
            "(and .source), choose word_vectors=trained, or a method that reads words "
            "(init_method.unit=words)"
        )
    spaces = {}
    for key, path in files.items():
        if path:
            file = Path(path).expanduser()
            spaces[key] = read_vectors(file, max_words=config.max_words, ngrams=config.ngrams)
        elif step.unit is VectorUnit.words:
            raise DataError(
                f"word_vectors names no file for {key!r}; give +word_vectors.paths.{key}=FILE"
            )
    return spaces


def _train_words(
    step: VectorsStep, config: TrainedVectors, context: StepContext
) -> dict[str, VectorSpace]:
    from franken.word_vectors.train import train_space, words_of

    data = open_data(step.data)
    return {
        language: train_space(
            [words_of(line) for line in _lines(data, language, config)],
            config,
            derive_seed(context.seed, "word_vectors", language),
            what=f"monolingual text of {language}",
        )
        for language in (step.data.source_language, *step.data.languages)
    }


def _train_pieces(
    step: VectorsStep, config: TrainedVectors, context: StepContext
) -> dict[str, VectorSpace]:
    from franken.word_vectors.pieces import cut_to_pieces
    from franken.word_vectors.train import train_space

    data = open_data(step.data)
    tokenizers = {
        "target": load_tokenizer(context.inputs["tokenizer"].path / "tokenizer"),
        "source": load_tokenizer(open_model(context.inputs["base"], context.store).table),
    }
    spaces = {}
    for side in PIECE_SIDES:
        lines = chain.from_iterable(_lines(data, lang, config) for lang in step.data.languages)
        spaces[side] = train_space(
            list(cut_to_pieces(lines, tokenizers[side])),
            config,
            derive_seed(context.seed, "piece_vectors"),
            what=f"text of {', '.join(step.data.languages)} in pieces of the {side} tokenizer",
        )
    return spaces


def _lines(data: DataSource, language: str, config: TrainedVectors) -> Iterable[str]:
    """Lines of one language's monolingual text and documents; those of both roles once.

    Sentences are often the lines of the documents, and read twice they say nothing new.

    Raises:
        DataError: where there is none.
    """
    stream: Iterator[str] = islice(_distinct(data, language), config.max_lines)
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
