"""Make the tokenizer of the adapted model and report on it."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from franken.config.steps import BuildVocabStep
from franken.data import DataSource, open_data
from franken.files import write_json
from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer
from franken.steps.context import StepContext
from franken.steps.models import open_model
from franken.vocab import VocabTexts, build_vocabulary


def run(step: BuildVocabStep, context: StepContext) -> dict[str, Any]:
    """Lines come from the monolingual text and documents of each language."""
    base = load_tokenizer(open_model(context.inputs["base"], context.store).table)
    source = open_data(step.data)
    texts = VocabTexts(
        source=lines_of(source, step.data.source_language),
        targets={language: lines_of(source, language) for language in step.data.languages},
    )
    result = build_vocabulary(base, step.vocab, texts, context.seed)
    save_tokenizer(result.tokenizer, context.directory / "tokenizer")
    write_json(context.directory / "report.json", result.report)
    return {"size": len(result.tokenizer)}


def lines_of(source: DataSource, language: str) -> Callable[[], Iterable[str]]:
    """A stream of lines that can be opened again."""

    def lines() -> Iterator[str]:
        for role in ("monolingual", "documents"):
            if source.has(role, language):
                for text in source.texts(role, language):
                    yield from (line for line in text.splitlines() if line.strip())

    return lines
