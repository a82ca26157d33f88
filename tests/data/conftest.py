"""A small tokenizer and a small source held in memory."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from franken.config.data import DataConfig, Mixture
from franken.data.source import Instruction, Pair

SHARED = Path(os.environ.get("FRANKEN_SHARED", Path(__file__).parents[2] / ".." / "shared"))


@pytest.fixture(scope="session")
def samples() -> Path:
    """The optional directory of sample data."""
    directory = SHARED / "data"
    if not (directory / "README.md").exists():
        pytest.skip("the sample data are absent (set FRANKEN_SHARED)")
    return directory


def word_tokenizer(*, bos: bool = True) -> PreTrainedTokenizerFast:
    """One token per character, so that every id can be worked out by hand."""
    names = ["<pad>", "<eos>", "<unk>"] + (["<bos>"] if bos else [])
    vocab = {name: number for number, name in enumerate(names)}
    for code in [*range(32, 127), 10, *range(0x410, 0x450)]:
        vocab[chr(code)] = len(vocab)
    backend = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    roles = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    if bos:
        roles["bos_token"] = "<bos>"
        backend.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", vocab["<bos>"])]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return word_tokenizer()


class ListSource:
    """A data source over lists; counts how many records were asked for."""

    def __init__(self, config: DataConfig, content: dict[tuple[str, str, str], list[Any]]) -> None:
        self.config = config
        self.content = content
        self.read = 0

    def _stream(self, role: str, lang: str, split: str) -> Iterator[Any]:
        for record in self.content.get((role, lang, split), []):
            self.read += 1
            yield record

    def fingerprint(self, roles: object = None, languages: object = None) -> str:
        return str(hash(str(sorted(self.content.items()))))

    def texts(self, role: str, lang: str, split: str = "train") -> Iterator[str]:
        return self._stream(role, lang, split)

    def pairs(self, lang: str, split: str = "train") -> Iterator[Pair]:
        return self._stream("parallel", lang, split)

    def instructions(self, split: str = "train") -> Iterator[Instruction]:
        return self._stream("instructions", self.config.source_language, split)

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        return []

    def tasks(self) -> list[str]:
        return []

    def has(self, role: str, lang: str | None = None) -> bool:
        return any(r == role and lang in (None, code) for r, code, _ in self.content)


@pytest.fixture
def source() -> ListSource:
    """English and two target languages of unequal size."""
    config = DataConfig(
        name="lists",
        languages=["sw", "ru"],
        mixtures={"adaptation": Mixture(shares={"monolingual": 1.0})},
        language_names={"en": "English"},
    )
    content: dict[tuple[str, str, str], list[Any]] = {}
    for lang, count in (("en", 300), ("sw", 60), ("ru", 90)):
        for split, size in (("train", count), ("valid", 12)):
            content["monolingual", lang, split] = [
                f"{lang} {split} sentence {number} " + "a" * (number % 13) for number in range(size)
            ]
            content["documents", lang, split] = [
                f"{lang} document {number}: " + "long text " * (number % 17)
                for number in range(size)
            ]
    for lang in ("sw", "ru"):
        content["parallel", lang, "train"] = [
            Pair(f"one {number}", f"moja {number}") for number in range(50)
        ]
    content["instructions", "en", "train"] = [
        Instruction(f"what is {number} + 1 ?", str(number + 1)) for number in range(80)
    ]
    return ListSource(config, content)
