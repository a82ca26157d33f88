"""Make the tokenizer of the adapted model and report on it."""

from __future__ import annotations

from dataclasses import asdict, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, ClassVar

from franken.config.data import DataConfig
from franken.data import open_data
from franken.errors import DataError
from franken.files import sampled_hash, write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import texts
from franken.vocab.base import Vocab

with later():
    from franken.config.root import Config
    from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer
    from franken.steps.common.context import StepContext
    from franken.steps.common.lines import lines_of
    from franken.steps.common.models import open_model
    from franken.vocab import VocabTexts, build_vocabulary


@step
class BuildVocabStep(Step):
    """Make the tokenizer of the adapted model."""

    version: ClassVar[int] = 2
    output: ClassVar[Part] = Part.vocabulary
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model}
    base: str = ""
    vocab: Vocab = field(default_factory=Vocab)
    data: DataConfig = field(default_factory=DataConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """The builder, the content of files that it names, and the text it learns from."""
        vocab = asdict(self.vocab)
        del vocab["pad_to_multiple"]  # of exports alone
        if vocab.get("tokens", "") is None:
            del vocab["tokens"]  # an option that came later keeps old keys while unset
        if self.vocab.version > 1:
            vocab["version"] = self.vocab.version
        for name, path in self.vocab.paths().items():
            place = Path(path).expanduser()
            if not place.is_file():
                raise DataError(f"vocab.{name}: no such file: {path} (looked in {Path.cwd()})")
            *groups, last = name.split(".")
            reduce(getitem, groups, vocab)[last] = sampled_hash(place)
        return {"vocab": vocab, "data": texts(self.data)}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Lines come from the monolingual text and documents of each language."""
        base = load_tokenizer(open_model(context.inputs["base"], context.store).table)
        source = open_data(self.data)
        texts = VocabTexts(
            source=lines_of(source, self.data.source_language),
            targets={language: lines_of(source, language) for language in self.data.languages},
        )
        result = build_vocabulary(base, self.vocab, texts, context.seed)
        save_tokenizer(result.tokenizer, context.directory / "tokenizer")
        write_json(context.directory / "report.json", result.report)
        return {"size": len(result.tokenizer)}
