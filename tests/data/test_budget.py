"""Budgets in bytes of text: counted token by token, and equal for different tokenizers."""

from dataclasses import replace
from pathlib import Path

import pytest

from franken.config.amounts import bytes_of
from franken.config.data import Mixture
from franken.config.training import TrainingConfig
from franken.data.budget import text_bytes_of_tokens
from franken.data.datamodule import TextDataModule
from tests.data.conftest import ListSource
from tests.faults import raises
from tests.parts.tiny import LINES, tiny_tokenizer

SCHEDULE = TrainingConfig(steps=1, batch_size=4, sequence_length=32, budget="3kB")
MIXTURE = Mixture({"monolingual": 0.6, "parallel": 0.4})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("50MB", 50_000_000), ("1.5 KiB", 1536), ("7", 7), (12, 12), ("2kB", 2000)],
)
def test_amounts_are_read(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "5 apples", "0", "1e6"])
def test_other_amounts_are_refused(text: str) -> None:
    with raises(ValueError, repr(text)):
        bytes_of(text)


@pytest.mark.parametrize("kind", ["byte_level", "metaspace"])
def test_tokens_stand_for_the_bytes_of_their_text(kind: str) -> None:
    tokenizer = tiny_tokenizer(kind)
    sizes = text_bytes_of_tokens(tokenizer)
    for text in ("the cat sees the red house", "naïve – дом"):
        ids = tokenizer.encode(" " + text, add_special_tokens=False)
        if tokenizer.unk_token_id not in ids:
            assert sizes[ids].sum() == len((" " + text).encode())
    assert sizes[tokenizer.eos_token_id] == 0


def module_of(
    source: ListSource, directory: Path, size: int, schedule: TrainingConfig = SCHEDULE
) -> TextDataModule:
    tokenizer = tiny_tokenizer("byte_level", size=size)
    return TextDataModule(
        source, MIXTURE, tokenizer, schedule, 7, directory, "en", ["sw", "ru"],
        rank=0, world_size=1,
    )  # fmt: skip


@pytest.mark.parametrize("size", [290, 700])
def test_a_budget_is_the_first_step_that_reads_it(
    source: ListSource, tmp_path: Path, size: int
) -> None:
    module = module_of(source, tmp_path, size)
    steps = module.fix_steps().steps
    tokenizer = module.builder.encoder.tokenizer
    texts = [
        tokenizer.decode(row[segments > 0], skip_special_tokens=True)
        for batch in module.train_dataloader()
        for row, segments in zip(batch["input_ids"], batch["segment_ids"], strict=True)
    ]
    assert len(module.train_dataloader()) == steps
    assert len(texts) == 4 * steps
    read = sum(len(text.encode()) for text in texts)
    # a sequence may repeat one token of the document that it goes on with
    longest = max(module.text_bytes)
    assert read >= 3000
    assert read - 4 * longest * steps <= 3000 + 4 * 32 * longest


def test_vocabularies_of_different_sizes_read_the_same_amount(
    source: ListSource, tmp_path: Path
) -> None:
    # the text that the tokenizers were trained on, so that their merges apply
    for key in source.content:
        if key[0] == "monolingual":
            source.content[key] = LINES * 9
    modules = [module_of(source, tmp_path / str(size), size) for size in (280, 330)]
    steps = [module.fix_steps().steps for module in modules]
    assert steps[0] > steps[1]
    again = module_of(source, tmp_path / "280", 280)
    assert again.fix_steps().steps == steps[0]


def test_without_a_budget_steps_stay(source: ListSource, tmp_path: Path) -> None:
    module = module_of(source, tmp_path, 290, replace(SCHEDULE, budget=None, steps=5))
    assert module.fix_steps().steps == 5
