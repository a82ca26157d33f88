"""Tokens that a user names are in the vocabulary as they are, with the rows that were asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.config.data import DataConfig
from franken.config.root import Config
from franken.errors import ConfigError, DataError
from franken.init_method import initialise
from franken.init_method.named_tokens import NamedTokensInit
from franken.parts.table import Table
from franken.steps import build_vocab
from franken.token_map.resources import InitResources
from franken.tokenizer.named_tokens import NamedToken, read_named_tokens
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.extension import ExtensionVocab
from franken.vocab.named import NamedVocab
from tests.faults import raises
from tests.vocab.toys import ENGLISH, KINDS, TARGETS, base_tokenizer

LINES: list[dict[str, Any]] = [
    {"token": "<tool>", "special": True, "like": "<eos>"},
    {"token": "angioplasty", "text": "open water"},
    {"token": " Heart-Rate", "text": "quick number"},
    {"token": "xylograph"},
]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "tokens.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    return str(path)


def texts() -> VocabTexts:
    return VocabTexts(lambda: ENGLISH, {"sw": lambda: TARGETS["sw"]})


@pytest.mark.parametrize("kind", KINDS)
def test_each_token_is_one_id_in_running_text_and_no_base_id_moves(kind: Any, file: str) -> None:
    base = base_tokenizer(kind)
    result = build_vocabulary(base, ExtensionVocab(tokens=file), texts(), 0)
    new = result.tokenizer
    assert len(new) == len(base) + 4
    assert base.get_vocab().items() <= new.get_vocab().items()
    line = "the <tool> book xylograph, angioplasty and Heart-Rate today"
    ids = new.encode(line, add_special_tokens=False)
    for named in LINES:
        assert ids.count(new.get_vocab()[named["token"]]) == 1
    assert new.decode(ids) == line
    assert "<tool>" not in new.decode(ids, skip_special_tokens=True)
    assert "xylograph" in new.decode(ids, skip_special_tokens=True)
    assert result.report["named"] == 4
    for plain in ENGLISH[:20]:
        assert new.encode(plain) == base.encode(plain)


def test_named_and_learnt_pieces_stand_side_by_side(file: str) -> None:
    base = base_tokenizer(KINDS[0])
    new = build_vocabulary(base, ExtensionVocab(tokens=file, added=30), texts(), 0).tokenizer
    assert len(new) == len(base) + 34
    sized = build_vocabulary(base, ExtensionVocab(tokens=file, size=len(base) + 34), texts(), 0)
    assert len(sized.tokenizer) == len(base) + 34
    assert "xylograph" in new.get_vocab()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_like_another_token_or_the_mean_of_a_description(kind: Any, file: str) -> None:
    base = base_tokenizer(kind)
    new = build_vocabulary(base, ExtensionVocab(tokens=file), texts(), 0).tokenizer
    rows = torch.randn(len(base), 8, generator=torch.Generator().manual_seed(0))
    source = Table(base, rows, None, None, "body")
    table, _ = initialise(source, new, NamedTokensInit(tokens=file), InitResources("en", []), 0)
    ids, known = new.get_vocab(), base.get_vocab()
    assert torch.equal(table.input[: len(base)], rows)
    like = LINES[0]["like"]
    torch.testing.assert_close(table.input[ids["<tool>"]], rows[known[like]])
    for named in LINES[1:3]:
        pieces = base.encode(f"a {named['text']}", add_special_tokens=False)
        pieces = pieces[len(base.encode("a", add_special_tokens=False)) :]
        torch.testing.assert_close(table.input[ids[named["token"]]], rows[pieces].mean(0))


def test_a_plain_file_has_a_token_a_line(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("alpha\n\nbeta gamma\n")
    assert read_named_tokens(path) == [NamedToken("alpha"), NamedToken("beta gamma")]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"token": "a"}\n{"token": "a"}', ["tokens.jsonl:2", "'a'"]),
        ("[1]", ["tokens.jsonl:1", "list"]),
        ('{"token": 3}', ["tokens.jsonl:1", "`token`"]),
        ('{"token": "a", "liek": "b"}', ["tokens.jsonl:1", "'liek'", "'like'"]),
        ("", ["tokens.jsonl"]),
        ('{"token": "a", "special": "yes"}', ["tokens.jsonl:1", "'special'"]),
        ('{"token": " "}', ["tokens.jsonl:1", "' '"]),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "tokens.jsonl"
    path.write_text(text)
    with raises(DataError, *names):
        read_named_tokens(path)


def test_a_token_like_an_unknown_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.jsonl"
    path.write_text('{"token": "<a>", "like": "<nowhere>"}')
    base = base_tokenizer(KINDS[0])
    new = build_vocabulary(base, ExtensionVocab(tokens=str(path)), texts(), 0).tokenizer
    source = Table(base, torch.ones(len(base), 2), None, None, "body")
    for tokenizer, named in ((new, "'<nowhere>'"), (base, "vocab.tokens")):
        with raises(DataError, "init_method.tokens", "'<a>'", named):
            initialise(
                source, tokenizer, NamedTokensInit(tokens=str(path)), InitResources("en", []), 0
            )
    with raises(ConfigError, "init_method=named_tokens", "tokens", "vocab.tokens"):
        initialise(source, new, NamedTokensInit(), InitResources("en", []), 0)


def test_the_content_of_the_file_counts_in_the_key_not_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_vocab, "texts", lambda data: {})

    def key(name: str, text: str | None) -> Any:
        if text is not None:
            (tmp_path / name).write_text(text)
        tokens = None if text is None else str(tmp_path / name)
        step = build_vocab.BuildVocabStep(vocab=ExtensionVocab(tokens=tokens), data=DataConfig())
        return step.key(Config())["vocab"]

    assert key("a", "x") == key("b", "x") != key("c", "y")
    assert "tokens" not in key("", None)


def test_markers_of_the_config_are_one_token_each_and_all_else_stays() -> None:
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    config = NamedVocab(tokens=["<translate>", "</translate>"])
    tokenizer = config.build(base, texts()).tokenizer
    text = "mto<translate> river</translate> mkubwa"
    parts = ["mto", " river", " mkubwa"]
    ids = [base(part, add_special_tokens=False).input_ids for part in parts]
    expected = [*ids[0], len(base), *ids[1], len(base) + 1, *ids[2]]
    assert tokenizer(text, add_special_tokens=False).input_ids == expected
