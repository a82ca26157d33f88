"""Trimming: what stays is cut as before, and a trimmed model's logits are the base's own."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, ConfigError
from franken.parts.row_selection import selected_rows
from franken.tokenizer.compose import replay
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.reachability import unreachable_pieces
from franken.tokenizer.trim import trim_vocabulary
from franken.vocab import build_vocabulary
from franken.vocab.__main__ import main
from franken.vocab.trim import TrimVocab
from tests.faults import raises
from tests.parts.tiny import (
    LINES,
    logits_of,
    same_logits,
    save_checkpoint,
    tiny_model,
    tiny_tokenizer,
)
from tests.vocab.toys import ENGLISH, KINDS, RUSSIAN_WORDS, base_tokenizer, vocab_texts

ENGLISH_LINES = LINES[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_text_that_decided_is_cut_as_before_and_little_else_stays(kind: TokenizerKind) -> None:
    base = base_tokenizer(kind)
    trimmed = trim_vocabulary(base, ENGLISH)
    used = {index for line in ENGLISH for index in base.encode(line, add_special_tokens=False)}
    assert used <= set(trimmed.source_ids)
    assert len(trimmed.source_ids) == len(trimmed.tokenizer) < len(base)
    for line in ENGLISH[:50]:
        ids = trimmed.tokenizer.encode(line)
        assert [trimmed.source_ids[index] for index in ids] == base.encode(line)
    assert trimmed.source_ids == sorted(trimmed.source_ids)
    names = base.convert_ids_to_tokens(trimmed.source_ids)
    assert names == trimmed.tokenizer.convert_ids_to_tokens(range(len(names)))
    assert unreachable_pieces(trimmed.tokenizer, pipeline_of(trimmed.tokenizer).normal()) == []


@pytest.mark.parametrize("kind", [TokenizerKind.byte_level_bpe, TokenizerKind.sentencepiece_bpe])
def test_other_text_is_still_written_by_bytes(kind: TokenizerKind) -> None:
    trimmed = trim_vocabulary(base_tokenizer(kind), ENGLISH)
    line = " ".join(RUSSIAN_WORDS)
    ids = trimmed.tokenizer.encode(line, add_special_tokens=False)
    assert trimmed.tokenizer.decode(ids) == line


def slow_leaves(base: PreTrainedTokenizerFast, room: int) -> set[str]:
    """Leaf order step by step: which pieces others are made of is asked anew after each."""
    pipeline = pipeline_of(base)
    ranks = {merge: rank for rank, merge in enumerate(pipeline.merges)}
    tokens = [token for line in ENGLISH for token in base.tokenize(line)]
    left = {piece: tokens.count(piece) for piece in pipeline.normal()}
    while len(left) > room:
        made_of = {part for piece in left for part in replay(piece, ranks)[1] if part != piece}
        leaves = left.keys() - made_of - set(pipeline.essentials())
        gone = min(leaves, key=lambda piece: (left[piece], -pipeline.pieces[piece]))
        uses = left.pop(gone)
        halves = [
            (gone[:at], gone[at:])
            for at in range(1, len(gone))
            if (gone[:at], gone[at:]) in ranks and {gone[:at], gone[at:]} <= replay(gone, ranks)[1]
        ]
        for part in max(halves, key=ranks.__getitem__):  # of two ways, the later ends it
            if part in left:
                left[part] += uses
    return set(left)


@pytest.mark.parametrize("size", [330, 420])
def test_a_size_leaves_what_leaf_order_leaves(size: int) -> None:
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    new = trim_vocabulary(base, ENGLISH, size=size).tokenizer
    room = size - len(pipeline_of(base).reserved())
    assert set(pipeline_of(new).normal()) == slow_leaves(base, room)
    assert unreachable_pieces(new, pipeline_of(new).normal()) == []
    words = {word: base.tokenize(word) for line in ENGLISH for word in line.split()}
    whole = [word for word, cut in words.items() if set(cut) <= new.get_vocab().keys()]
    assert 0 < len(whole) < len(words)
    assert [new.tokenize(word) for word in whole] == [words[word] for word in whole]


@pytest.mark.parametrize("kind", KINDS)
def test_as_an_option_it_keeps_what_source_and_targets_use_and_adds_nothing(
    kind: TokenizerKind,
) -> None:
    base, texts = base_tokenizer(kind), vocab_texts()
    result = build_vocabulary(base, TrimVocab(), texts, seed=0)
    assert result.tokenizer.get_vocab().keys() <= base.get_vocab().keys()
    assert len(result.tokenizer) < len(base)
    for stream in (texts.source, *texts.targets.values()):
        for line in list(stream())[:20]:
            assert result.tokenizer.tokenize(line) == base.tokenize(line)


def test_a_script_keeps_all_its_pieces_and_a_size_the_most_used() -> None:
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    cyrillic = {
        piece
        for piece, index in base.get_vocab().items()
        if any("а" <= char <= "я" for char in base.decode([index]))
    }
    assert cyrillic
    kept = trim_vocabulary(base, ENGLISH, scripts=["Cyrillic"]).tokenizer.get_vocab()
    assert cyrillic <= kept.keys()
    assert not cyrillic <= trim_vocabulary(base, ENGLISH).tokenizer.get_vocab().keys()
    small = trim_vocabulary(base, ENGLISH, size=330)
    assert len(small.tokenizer) == 330
    assert unreachable_pieces(small.tokenizer, pipeline_of(small.tokenizer).normal()) == []
    with raises(ConfigError, "size", 100, 269):
        trim_vocabulary(base, ENGLISH, size=100)
    with raises(ConfigError, "texts", "scripts"):
        trim_vocabulary(base)


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "english.txt"
    path.write_text("\n".join(ENGLISH_LINES))
    return path


@pytest.mark.parametrize(
    ("family", "tied"), [("llama", True), ("llama", False), ("gemma3_text", True), ("phi", False)]
)
def test_kept_ids_keep_their_states_rows_and_logits(
    tmp_path: Path, text_file: Path, family: str, tied: bool
) -> None:
    tokenizer = tiny_tokenizer("byte_level", size=330)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    model = tiny_model(family, tied=tied, rows=330)
    model.generation_config.eos_token_id = [
        tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")
    ]  # fmt: skip
    base = save_checkpoint(model, tokenizer, tmp_path / "base")
    out = tmp_path / "out"
    arguments = ["trim", str(base), str(text_file), "-o", str(out), "--pad-to-multiple", "8"]
    assert main(arguments) == 0
    small = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    own = AutoTokenizer.from_pretrained(out)
    old_ids = torch.tensor(
        tokenizer.convert_tokens_to_ids(own.convert_ids_to_tokens(range(len(own))))
    )
    ids = torch.tensor([own.encode(ENGLISH_LINES[0])])
    assert torch.equal(old_ids[ids], torch.tensor([tokenizer.encode(ENGLISH_LINES[0])]))
    logits = logits_of(small, ids)
    kept = list(range(len(own)))
    assert same_logits(small, ids, kept, model, old_ids[ids], old_ids.tolist())
    assert logits.shape[-1] == small.config.vocab_size == len(own) + -len(own) % 8 < 330
    padding = logits[..., len(own) :]
    assert torch.allclose(padding, logits[..., : len(own)].mean(-1, keepdim=True), atol=1e-4)
    assert own.chat_template == tokenizer.chat_template
    ends = own.convert_tokens_to_ids(["<eos>", "<end_of_turn>"])
    assert small.generation_config.eos_token_id == ends
    assert AutoConfig.from_pretrained(out).tie_word_embeddings is tied
    assert json.loads((out / "vocabulary.json").read_text())["rows"] == small.config.vocab_size


def test_a_tokenizer_alone_is_trimmed_and_extended(tmp_path: Path, text_file: Path) -> None:
    base = tmp_path / "base"
    tiny_tokenizer("byte_level", size=330).save_pretrained(base)
    more = tmp_path / "more.txt"
    more.write_text("\n".join(["zebra zebras quizzing zebra"] * 20))
    assert main(["trim", str(base), str(text_file), "-o", str(tmp_path / "small")]) == 0
    arguments = ["--added", "6", "-o", str(tmp_path / "grown")]
    assert main(["extend", str(tmp_path / "small"), str(more), *arguments]) == 0
    small, grown = (AutoTokenizer.from_pretrained(tmp_path / name) for name in ("small", "grown"))
    assert len(grown) == len(small) + 6
    assert len(grown.encode("zebra quizzing")) < len(small.encode("zebra quizzing"))
    report = json.loads((tmp_path / "grown" / "vocabulary.json").read_text())
    assert report["unreachable"]["count"] == 0


@pytest.mark.parametrize(
    "arguments", [["nowhere.txt"], ["--languages", "xx"], ["--scripts", "Klingon"]]
)
def test_faults_are_told_before_anything_is_read(tmp_path: Path, arguments: list[str]) -> None:
    out = tmp_path / "out"
    assert main(["trim", str(tmp_path), *arguments, "-o", str(out)]) == 2
    assert not out.exists()


def test_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    base = save_checkpoint(tiny_model(rows=96), tokenizer, tmp_path / "base")
    with raises(CompatibilityError, tmp_path / "base", 96):
        selected_rows(base, tokenizer, [0, 1, 96])
