"""What opens a text, where a continuation begins, and what ids hide."""

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from franken.errors import ConfigError
from franken.tokenizer.text_ids import (
    after_prompts,
    continuations,
    hidden_bytes,
    opening_ids,
    text_ids,
)
from tests.eval_suite.conftest import gemma_tokenizer, llama_tokenizer
from tests.faults import raises


def words(*known: str) -> PreTrainedTokenizerFast:
    """One id per word; all others are one unknown token."""
    vocabulary = {word: at for at, word in enumerate(["<unk>", "<s>", *known])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>")


def test_a_text_is_opened_as_the_tokenizer_does_it_or_as_asked() -> None:
    adds, bare = llama_tokenizer(), words("a", "cat")
    assert opening_ids(adds) == [adds.bos_token_id]
    assert opening_ids(bare) == []
    assert opening_ids(bare, "always") == [bare.bos_token_id]
    assert opening_ids(adds, "none") == []
    assert opening_ids(adds, "<eos>") == [adds.eos_token_id]
    with raises(ConfigError, "opening='<nothing>'"):
        opening_ids(adds, "<nothing>")


@pytest.mark.parametrize("make", [gemma_tokenizer, llama_tokenizer])
def test_the_name_of_a_control_token_is_text_unless_wanted(make: Any) -> None:
    tokenizer = make()
    backend = tokenizer.backend_tokenizer
    ((as_token,), (as_text,)) = (
        text_ids(backend, ["<bos>the cat"], control=control) for control in (True, False)
    )
    assert as_token == [tokenizer.bos_token_id, *text_ids(backend, ["the cat"], control=True)[0]]
    assert tokenizer.bos_token_id not in as_text
    assert not backend.encode_special_tokens


def test_truncation_and_padding_of_the_tokenizer_stay_as_they_are_and_do_not_count() -> None:
    backend = llama_tokenizer().backend_tokenizer
    backend.enable_truncation(2)
    backend.enable_padding(length=40)
    (ids,) = text_ids(backend, ["the cat sees the red house"], control=False)
    assert 2 < len(ids) < 40
    assert backend.truncation["max_length"] == 2
    assert backend.padding["length"] == 40


def test_no_token_spans_the_border_and_no_word_start_is_added() -> None:
    tokenizer = llama_tokenizer()

    def encode(texts: Any) -> list[list[int]]:
        return text_ids(tokenizer.backend_tokenizer, texts, control=True)

    prompts, texts = ["the c", "the cat"], ["at sees", " sees"]
    heads, tails = after_prompts(encode, prompts, texts)
    assert heads == encode(prompts)
    assert [tokenizer.decode(tail) for tail in tails] == texts
    assert tails[1] == encode(["the cat sees"])[0][len(heads[1]) :]
    assert continuations(encode, texts) == [continuations(encode, [t])[0] for t in texts]


def test_hidden_bytes_are_those_under_unknown_tokens_or_under_none() -> None:
    tokenizer = words("the", "cat")
    backend, unknown = tokenizer.backend_tokenizer, tokenizer.unk_token_id
    assert hidden_bytes(backend, "the cat", unknown) == 0
    assert hidden_bytes(backend, "the வீடு cat", unknown) == len("வீடு".encode())
    dropping = Tokenizer(models.BPE({"a": 0, "b": 1}, []))  # leaves out what it does not know
    assert text_ids(dropping, ["aдb"], control=False) == [[0, 1]]
    assert hidden_bytes(dropping, "aдb", None) == 2


@pytest.mark.parametrize("make", [gemma_tokenizer, llama_tokenizer])
def test_byte_pieces_hide_nothing(make: Any) -> None:
    tokenizer = make()
    for text in ("кошка видит", "日本語 \u200b a\nb", "<bos> naïve"):
        assert hidden_bytes(tokenizer.backend_tokenizer, text, tokenizer.unk_token_id) == 0
