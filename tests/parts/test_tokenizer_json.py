import json

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from franken.files import hash_json
from franken.parts import rowless
from franken.parts.tokenizer_files import tokenizer_identity
from franken.parts.tokenizer_json import hash_parted, parted
from franken.tokenizer.pipeline import pipeline_of
from tests.parts.tiny import tiny_tokenizer

ODD = ['"', "\\", "\n", "\x01", "\x7f", "é", "🙂", '"merges":[[', '"merges":[]}}', "]]}}", "\u2028"]


def odd_backend() -> Tokenizer:
    """BPE of merges over letters that JSON escapes, and of pieces that look like its keys."""
    pieces = ["a", *ODD, *(f"a{piece}" for piece in ODD)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", piece) for piece in ODD]))
    backend.add_tokens(['x"merges":[["', "}}"])
    return backend


@pytest.mark.parametrize("merges", [True, False])
def test_the_hash_is_that_of_the_whole_json(merges):
    written = odd_backend().to_str() if merges else Tokenizer(models.BPE()).to_str()
    described, apart = parted(written)
    assert bool(apart) is merges
    assert hash_parted(described, apart) == hash_json(json.loads(written))
    assert described["model"].pop("merges") == []
    whole = json.loads(written)
    assert json.loads(apart or b"[]") == whole["model"].pop("merges")
    assert described == whole


def test_merges_are_read_when_they_are_asked_for():
    tokenizer = tiny_tokenizer("byte_level", size=300)
    pipeline = pipeline_of(tokenizer)
    assert "merges" not in vars(pipeline)
    spelled = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    assert pipeline.merges == [tuple(pair) for pair in spelled]
    assert pipeline.merges is pipeline.merges
    with pytest.raises(AttributeError, match="mergers"):
        _ = pipeline.mergers


@pytest.mark.parametrize("kind", ["sentencepiece", "byte_level"])
def test_a_backend_around_the_same_model_is_the_one_that_is_read_again(kind):
    tokenizer = tiny_tokenizer(kind, size=300)
    rows = len(tokenizer)
    tokenizer.add_tokens(["<image>", "<audio>"])
    whole = tokenizer.backend_tokenizer
    whole.enable_truncation(max_length=7)
    beyond = {"<image>": rows, "<audio>": rows + 1}
    shared = rowless._around_the_model_of(whole, beyond)
    assert shared is not None
    assert shared.to_str() == rowless._read_again(whole, beyond).to_str()
    last = next(piece for piece, index in tokenizer.get_vocab().items() if index == rows - 1)
    assert rowless._around_the_model_of(whole, {last: rows - 1}) is None  # the model's own piece


def test_no_tokenizer_shares_what_it_changes_with_the_one_it_came_from():
    tokenizer = tiny_tokenizer()
    rows = len(tokenizer)
    tokenizer.add_tokens(["<image>"])
    before = tokenizer_identity(tokenizer)
    cut = rowless.set_aside_rowless(tokenizer, rows)
    assert isinstance(cut, PreTrainedTokenizerFast)
    cut.add_tokens(["<audio>"])
    assert tokenizer_identity(tokenizer) == before
