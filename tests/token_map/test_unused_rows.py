"""Rows of tokens that nobody uses, and what lies beside them, are exemplars of nothing."""

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from franken.parts.unused_rows import untrained_rows
from franken.tokenizer.pieces import Reading
from franken.tokenizer.reachability import shadowed_ids

NAMES = [f"<unused{index}>" for index in range(8)]


def vocabulary() -> dict[str, int]:
    words = [f"word{index}" for index in range(300)]
    return {name: index for index, name in enumerate([*words, *NAMES, "never", "also never"])}


def rows(spread: float) -> torch.Tensor:
    """All rows of one norm, as Gemma 3 has them: no length tells the unused ones."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(310, 64, generator=generator)
    found[300:] = torch.ones(64) + spread * found[300:]
    return found / found.norm(dim=1, keepdim=True)


def test_names_and_nearness_tell_them() -> None:
    found = untrained_rows(rows(0.1), vocabulary(), torch.zeros(0, 64))
    assert found.nonzero().flatten().tolist() == list(range(300, 310))


def test_rows_without_a_common_direction_condemn_no_other() -> None:
    found = untrained_rows(rows(30.0), vocabulary(), torch.zeros(0, 64))
    assert found.nonzero().flatten().tolist() == list(range(300, 308))


def test_padding_rows_of_a_table_are_unused_too() -> None:
    names = {f"word{index}": index for index in range(302)}
    table = rows(0.1)
    found = untrained_rows(table[:302], names, table[302:])
    assert found.nonzero().flatten().tolist() == [300, 301]


def test_ids_that_no_text_comes_to_are_unused_too() -> None:
    names = {f"word{index}": index for index in range(310)}
    found = untrained_rows(rows(0.1), names, torch.zeros(0, 64), unwritten=range(300, 308))
    assert found.nonzero().flatten().tolist() == list(range(300, 310))


def test_a_byte_piece_beside_its_letter_is_never_written() -> None:
    """As ``<0x41>`` beside ``A`` in Llama 2 and Gemma."""
    names = [f"<0x{byte:02X}>" for byte in range(256)] + ["<unk>", "A", "b", "Ab"]
    pieces = {name: index for index, name in enumerate(names)}
    backend = Tokenizer(models.BPE(pieces, [("A", "b")], unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert shadowed_ids(tokenizer, Reading.of(tokenizer)) == [ord("A"), ord("b")]
