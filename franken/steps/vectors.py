"""Static vectors of words or pieces: trained on the data's monolingual text, or read from files."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from franken.config.steps import VectorsStep
from franken.config.word_vectors import PIECE_SIDES, TrainedVectors, VectorFiles, VectorUnit
from franken.data import DataSource, open_data
from franken.data.source import TEXT_STREAMS
from franken.errors import CompatibilityError, DataError
from franken.files import write_json
from franken.parts.tokenizer_files import load_tokenizer
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import open_model
from franken.word_vectors import VectorSpace, save_spaces


def run(step: VectorsStep, context: StepContext) -> dict[str, Any]:
    """Writes one space per language, or ``target`` and ``source`` for pieces."""
    if isinstance(step.vectors, VectorFiles):
        spaces = _read(step, step.vectors)
    elif isinstance(step.vectors, TrainedVectors):
        train = _train_words if step.unit is VectorUnit.words else _train_pieces
        spaces = train(step, step.vectors, context)
    else:
        raise TypeError(f"no word vectors are defined for option {step.vectors.name!r}")
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
    return {"unit": str(step.unit), "words": {key: len(s.words) for key, s in spaces.items()}}


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
