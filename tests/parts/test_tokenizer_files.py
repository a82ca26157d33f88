import base64
import copy
import json
from importlib.util import find_spec

import pytest
from transformers import AddedToken, AutoTokenizer, GemmaTokenizer, PreTrainedTokenizerFast

from franken.errors import ArtifactError, CompatibilityError
from franken.parts import tokenizer_files, tokenizer_json
from franken.parts.tokenizer_files import (
    load_checkpoint_tokenizer,
    load_tokenizer,
    save_exported_tokenizer,
    save_tokenizer,
    token_count,
    tokenizer_identity,
)
from tests.faults import raises
from tests.parts.tiny import LINES, TEXT_FAMILIES, tiny_config, tiny_tokenizer
from tests.vocab.toys import gemma_like, llama2_like


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
def test_identity_survives_saving_and_sees_every_change(kind, tmp_path):
    tokenizer = tiny_tokenizer(kind, size=300)
    save_tokenizer(tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    identity = tokenizer_identity(tokenizer)
    assert tokenizer_identity(loaded) == identity
    assert [loaded(line).input_ids for line in LINES] == [
        tokenizer(line).input_ids for line in LINES
    ]

    padded = copy.deepcopy(tokenizer)
    padded(LINES, padding=True, truncation=True, max_length=4)
    assert tokenizer_identity(padded) == identity
    other_role = copy.deepcopy(tokenizer)
    other_role.eos_token = "<end_of_turn>"
    assert tokenizer_identity(other_role) != identity
    assert tokenizer_identity(tiny_tokenizer(kind, size=len(tokenizer) - 1)) != identity
    without_bos = copy.deepcopy(tokenizer)
    data = json.loads(without_bos.backend_tokenizer.to_str())
    data["post_processor"] = None
    without_bos._tokenizer = type(without_bos.backend_tokenizer).from_str(json.dumps(data))
    assert tokenizer_identity(without_bos) != identity


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
def test_added_tokens_read_beforehand_are_those_that_transformers_reads(kind, tmp_path):
    tokenizer = tiny_tokenizer(kind, size=300)
    tokenizer.add_tokens([AddedToken("<tool>", lstrip=True, special=False), "ሰላም"])
    save_tokenizer(tokenizer, tmp_path)
    assert tokenizer_files._read_already(tmp_path)
    found, plain = load_tokenizer(tmp_path), PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert found.init_kwargs == plain.init_kwargs
    assert repr(found.added_tokens_decoder) == repr(plain.added_tokens_decoder)
    (tmp_path / "added_tokens.json").write_text("{}")  # says more: transformers reads all
    assert tokenizer_files._read_already(tmp_path) == {}


def test_what_stands_behind_the_added_tokens_is_not_parsed(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0",\n "added_tokens" : [{"id": 7}], "model": not JSON')
    assert tokenizer_json.first_value(path, "added_tokens") == [{"id": 7}]
    path.write_text('{"version": "added_tokens"}')
    assert tokenizer_json.first_value(path, "added_tokens") is None


def test_padding_side_survives(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    save_tokenizer(tokenizer, tmp_path)
    assert load_tokenizer(tmp_path).padding_side == "left"


def test_token_count_is_the_highest_id_plus_one():
    tokenizer = tiny_tokenizer(size=90)
    tokenizer.add_tokens(["ሰላም"])
    assert token_count(tokenizer) == 91


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
@pytest.mark.parametrize("family", [*TEXT_FAMILIES, "gemma3"])
def test_auto_tokenizer_returns_the_exported_tokenizer_in_every_family(family, kind, tmp_path):
    if family == "gemma3":
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3"}))
    else:
        tiny_config(family, tied=True, rows=300).save_pretrained(tmp_path)
    tokenizer = tiny_tokenizer(kind, size=300)
    save_exported_tokenizer(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer_identity(loaded) == tokenizer_identity(tokenizer)
    for line in [*LINES, "a 12  b\n\nc", "ሰላም", "<start_of_turn>x<end_of_turn>"]:
        assert loaded(line).input_ids == tokenizer(line).input_ids
        assert loaded.decode(loaded(line).input_ids) == tokenizer.decode(tokenizer(line).input_ids)


def test_a_tokenizer_of_a_known_class_keeps_its_class(tmp_path):
    vocabulary = tiny_tokenizer(size=90).get_vocab() | {"<mask>": 90}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[])
    tiny_config("gemma2", tied=True, rows=96).save_pretrained(tmp_path)
    assert save_exported_tokenizer(tokenizer, tmp_path) == "GemmaTokenizer"


def test_a_tokenizer_that_its_class_would_rebuild_otherwise_loses_the_class(tmp_path):
    vocabulary = tiny_tokenizer(size=90).get_vocab() | {"<mask>": 90}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[])
    tokenizer.backend_tokenizer.normalizer = None
    tiny_config("gemma2", tied=True, rows=96).save_pretrained(tmp_path)
    assert save_exported_tokenizer(tokenizer, tmp_path) == "PreTrainedTokenizerFast"
    assert AutoTokenizer.from_pretrained(tmp_path).backend_tokenizer.normalizer is None


def test_old_tokenizer_files_do_not_linger(tmp_path):
    for name in ("tokenizer.model", "vocab.json", "merges.txt"):
        (tmp_path / name).write_text("{}")
    tiny_config("llama", tied=True, rows=96).save_pretrained(tmp_path)
    save_exported_tokenizer(tiny_tokenizer(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert not names & {"tokenizer.model", "vocab.json", "merges.txt"}


def test_no_path_of_this_machine_is_written(tmp_path):
    save_tokenizer(tiny_tokenizer(), tmp_path / "one")
    save_tokenizer(load_tokenizer(tmp_path / "one"), tmp_path / "two")
    for path in (tmp_path / "two").iterdir():
        assert str(tmp_path) not in path.read_text()


def test_a_tokenizer_that_cannot_come_back_is_refused(tmp_path, monkeypatch):
    tiny_config("llama", tied=True, rows=96).save_pretrained(tmp_path)
    wrong = tiny_tokenizer(size=80)
    monkeypatch.setattr(tokenizer_files.AutoTokenizer, "from_pretrained", lambda *_, **__: wrong)
    with raises(CompatibilityError, "AutoTokenizer", tmp_path):
        save_exported_tokenizer(tiny_tokenizer(), tmp_path)


def test_damaged_or_absent_files_are_named(tmp_path):
    with raises(ArtifactError, tmp_path, "tokenizer.json"):
        load_tokenizer(tmp_path)
    save_tokenizer(tiny_tokenizer(), tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with raises(ArtifactError, tmp_path, "line 1 column 2"):
        load_tokenizer(tmp_path)


def saved_as(tokenizer, directory, class_name):
    """A checkpoint's tokenizer files, as published: the file, and the name of a class."""
    directory.mkdir()
    tokenizer.backend_tokenizer.save(str(directory / "tokenizer.json"))
    roles = {role: str(token) for role, token in tokenizer.special_tokens_map.items()}
    settings = {"tokenizer_class": class_name, **roles}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    return directory


def test_the_file_is_read_as_it_stands_where_its_class_would_rebuild_it(tmp_path, caplog):
    """Llama 2 and Mistral v1: the file prepends a marker, the class of transformers 5 splits."""
    original = llama2_like()
    directory = saved_as(original, tmp_path / "llama", "LlamaTokenizer")
    loaded = load_checkpoint_tokenizer(directory)
    assert json.loads(loaded.backend_tokenizer.to_str())["normalizer"]["normalizers"]
    for text in (" leading", "    x = 1", "  ", "a  b "):
        ids = original.encode(text, add_special_tokens=False)
        assert loaded.encode(text, add_special_tokens=False) == ids
        assert loaded.decode(ids) == text
    assert "normalizer" in caplog.text
    tiny_config("llama", tied=True, rows=1100).save_pretrained(tmp_path / "llama")
    save_exported_tokenizer(loaded, directory)
    again = AutoTokenizer.from_pretrained(directory)
    assert tokenizer_identity(again) == tokenizer_identity(loaded)


def test_a_class_that_leaves_the_file_as_it_is_gives_its_padding_and_no_warning(tmp_path, caplog):
    loaded = load_checkpoint_tokenizer(saved_as(gemma_like(), tmp_path / "g", "GemmaTokenizer"))
    assert loaded.padding_side == "left"
    assert loaded.get_vocab() == gemma_like().get_vocab()
    assert caplog.text == ""


def test_tekken_alone_loads_through_its_extra_or_says_which(tmp_path):
    pieces = [bytes([byte]) for byte in range(256)] + [b"ha", b"hab", b"ari", b" hab"]
    vocab = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces)
    ]
    config = {
        "pattern": r"\s*\p{L}+|\S+|\s+",
        "num_vocab_tokens": 260,
        "default_vocab_size": 274,
        "default_num_special_tokens": 14,
        "version": "v3",
    }
    (tmp_path / "tekken.json").write_text(json.dumps({"config": config, "vocab": vocab}))
    if find_spec("mistral_common") is None:
        with raises(CompatibilityError, tmp_path, "tekken.json", "franken[mistral]"):
            load_checkpoint_tokenizer(tmp_path)
        return
    tokenizer = load_checkpoint_tokenizer(tmp_path)
    ids = tokenizer.encode(" habari  ya", add_special_tokens=False)
    assert ids[0] == 14 + 259
    assert tokenizer.decode(ids) == " habari  ya"
    assert tokenizer.bos_token == "<s>"
