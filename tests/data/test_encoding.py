import pytest
from tokenizers import Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

from franken.data.encoding import RecordEncoder, pair_text
from franken.data.source import Instruction, Pair
from franken.errors import CompatibilityError
from franken.tokenizer.text_ids import continuations
from tests.data.conftest import word_tokenizer
from tests.faults import raises


def decoded(encoder: RecordEncoder, ids: list[int]) -> str:
    return "".join(encoder.tokenizer.convert_ids_to_tokens(ids))


def test_texts_stand_between_bos_and_eos(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = RecordEncoder(tokenizer)
    (item,) = encoder.encode(["hi"])
    assert item is not None
    assert decoded(encoder, item.ids.tolist()) == "<bos>hi<eos>"
    assert (item.silent, item.characters, item.truncated) == (0, 2, False)


def test_a_tokenizer_without_bos_gets_none() -> None:
    encoder = RecordEncoder(word_tokenizer(bos=False))
    (item,) = encoder.encode(["hi"])
    assert item is not None
    assert decoded(encoder, item.ids.tolist()) == "hi<eos>"


def test_only_the_response_has_a_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = RecordEncoder(tokenizer)
    (item,) = encoder.encode([Instruction("2+2 =", "4")])
    assert item is not None
    assert decoded(encoder, item.ids[: item.silent].tolist()) == "<bos>2+2 ="
    assert decoded(encoder, item.ids[item.silent :].tolist()) == " 4<eos>"


@pytest.mark.parametrize(
    ("prompt", "response", "joined"),
    [("a", "b", " b"), ("a ", "b", "b"), ("a\n", "b", "b"), ("a", " b", " b"), ("", "b", "b")],
)
def test_the_border_has_white_space(
    tokenizer: PreTrainedTokenizerFast, prompt: str, response: str, joined: str
) -> None:
    encoder = RecordEncoder(tokenizer)
    (item,) = encoder.encode([Instruction(prompt, response)])
    assert item is not None
    assert decoded(encoder, item.ids[item.silent :].tolist()) == joined + "<eos>"


def test_long_prompts_lose_their_beginning(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = RecordEncoder(tokenizer)
    (item,) = encoder.encode([Instruction("abcdefgh ", "yz")], max_length=8)
    assert item is not None
    assert item.truncated
    assert decoded(encoder, item.ids.tolist()) == "<bos>fgh yz<eos>"
    assert item.silent == 5


def test_long_responses_are_cut_after_the_prompt_gave_way(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder = RecordEncoder(tokenizer)
    (item,) = encoder.encode([Instruction("abc ", "vwxyz")], max_length=5)
    assert item is not None
    assert len(item.ids) == 5
    assert decoded(encoder, item.ids.tolist()) == "<bos> vwx"


def spanning_tokenizer() -> PreTrainedTokenizerFast:
    """BPE with a merge over the border and an automatic word start, as in Llama."""
    vocab = {name: n for n, name in enumerate(["<eos>", "▁", "a", "b", "ab", "▁a", "\n", "<unk>"])}
    merges = [("a", "b"), ("▁", "a")]
    backend = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>"))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def test_no_token_spans_the_border() -> None:
    encoder = RecordEncoder(spanning_tokenizer())
    assert encoder.ids(["a b"])[0] == [5, 1, 3]
    (item,) = encoder.encode([Instruction("\na", "\nb")])
    assert item is not None
    assert item.ids.tolist() == [1, 6, 2, 6, 3, 0]
    # "ab" is one token when the text is tokenised at once: the response must still begin cleanly,
    # and without the word start that the tokenizer puts before a text of its own.
    assert continuations(encoder.ids, ["b", " a"]) == [[3], [5]]


def test_pairs_in_both_directions_keep_braces() -> None:
    template = "{from_name}: {from_text} = {to_name}: {to_text}"
    pair = Pair("use {to_text}", "b")
    forward = pair_text(pair, template, "E", "S", reverse=False)
    assert forward == "E: use {to_text} = S: b"
    assert pair_text(pair, template, "E", "S", reverse=True) == "S: b = E: use {to_text}"


def test_empty_texts_are_skipped(tokenizer: PreTrainedTokenizerFast) -> None:
    assert RecordEncoder(tokenizer).encode(["", "a"])[0] is None


def test_control_tokens_written_in_a_text_are_text(tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = RecordEncoder(tokenizer)
    (text,) = encoder.encode(["a<eos>b"])
    assert text is not None
    assert text.ids.tolist().count(tokenizer.eos_token_id) == 1
    (asked,) = encoder.encode([Instruction("a<eos>", "b")])  # the markers of a chat template
    assert asked is not None
    assert asked.ids.tolist().count(tokenizer.eos_token_id) == 2


def test_encoding_agrees_with_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    padded = word_tokenizer()
    padded.backend_tokenizer.enable_truncation(3)
    texts = ["some words", "x", "Привет, мир"]
    expected = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert RecordEncoder(padded).ids(texts) == expected
    assert padded.backend_tokenizer.truncation is not None


CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}({{ m.content }})<pad>{% endfor %}"
    "{% if add_generation_prompt %}a({% endif %}"
)


def test_in_chat_form_the_end_of_a_turn_ends_a_response_and_bos_stands_once() -> None:
    tokenizer = word_tokenizer()
    records = [Instruction("2+2 =\n", " 4")]
    plain = RecordEncoder(tokenizer, chat="auto")  # it has no template yet
    assert not plain.chat
    with raises(CompatibilityError, "chat=on", "chat_template.jinja", "chat=auto"):
        RecordEncoder(tokenizer, chat="on")
    tokenizer.chat_template = CHAT.replace("({{ m.content }})", "({{ m.content }}")
    encoder = RecordEncoder(tokenizer, chat="auto")
    (item,) = encoder.encode(records)
    assert item is not None
    assert decoded(encoder, item.ids.tolist()) == "<bos>u(2+2 =<pad>a(4<pad>"
    assert decoded(encoder, item.ids[item.silent :].tolist()) == "4<pad>"
    assert encoder.fingerprint() != plain.fingerprint()
    off = RecordEncoder(tokenizer, chat="off")
    assert [i.ids.tolist() for i in off.encode(records)] == [
        i.ids.tolist() for i in plain.encode(records)
    ]
    texts = encoder.encode(["hi"])
    assert decoded(encoder, texts[0].ids.tolist()) == "<bos>hi<eos>"
