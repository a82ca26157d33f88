"""Trained tokenizers: kinds, ids, determinism, and files that load back as the same tokenizer."""

import json
import os
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, ConfigError, DataError
from franken.files import hash_json
from franken.tokenizer.assembly import build
from franken.tokenizer.pipeline import pipeline_of
from franken.vocab import SpecialTokens, family_of, train_tokenizer
from tests.faults import raises
from tests.vocab.toys import (
    ENGLISH,
    HARD,
    KINDS,
    STRUCTURES,
    TARGETS,
    base_tokenizer,
    ids_of,
    llama2_like,
    spec_of,
)

SENTENCEPIECE = [TokenizerKind.sentencepiece_bpe, TokenizerKind.sentencepiece_unigram]


@pytest.mark.parametrize("kind", KINDS)
def test_family_is_read_from_the_components(kind):
    assert family_of(base_tokenizer(kind)) is kind


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"), ["'WordLevel'"]),
        (models.BPE({"a": 0}, []), ["'BPE'", []]),
    ],
    ids=["WordLevel", "BPE of characters"],
)
def test_unknown_kinds_are_refused_with_the_known_ones(model, names):
    pieces = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
    with raises(CompatibilityError, *names, "sentencepiece_bpe", "wordpiece"):
        family_of(pieces)


@pytest.mark.parametrize("kind", KINDS)
def test_text_survives_encoding_and_decoding(kind):
    tokenizer = base_tokenizer(kind)
    for line in ENGLISH[:50] + TARGETS["ta"][:20] + HARD[:6]:
        ids = tokenizer(line)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids, skip_special_tokens=True) == line


@pytest.mark.parametrize("kind", SENTENCEPIECE)
def test_sentencepiece_kinds_lay_out_specials_and_bytes_as_gemma(kind):
    tokenizer = base_tokenizer(kind)
    first = tokenizer.convert_ids_to_tokens(range(6))
    assert first == ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    ids = tokenizer.convert_tokens_to_ids([f"<0x{byte:02X}>" for byte in range(256)])
    assert ids == list(range(14, 270))


def test_byte_level_specials_stand_behind_the_vocabulary():
    tokenizer = base_tokenizer(TokenizerKind.byte_level_bpe)
    assert tokenizer.vocab_size == len(tokenizer) - 13
    assert tokenizer.convert_tokens_to_ids("<pad>") == tokenizer.vocab_size


@pytest.mark.parametrize("kind", KINDS)
def test_digits_are_split_one_by_one(kind):
    tokenizer = base_tokenizer(kind)
    assert tokenizer.tokenize("2026 or 44")[-2:] == ["4", "4"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_piece_crosses_a_word(kind):
    pipeline = pipeline_of(base_tokenizer(kind))
    marker = "Ġ" if kind is TokenizerKind.byte_level_bpe else "▁"
    assert not [piece for piece in pipeline.normal() if marker in piece[1:]]


def test_the_dummy_prefix_is_written_and_removed():
    tokenizer = llama2_like()
    assert tokenizer.tokenize("house") == tokenizer.tokenize("a house")[-1:]
    assert tokenizer.decode(ids_of(tokenizer, "house and home")) == "house and home"


def test_equal_text_gives_equal_tokenizers_in_another_process():
    script = (
        "from franken.files import hash_json\n"
        "from tests.vocab.toys import KINDS, base_tokenizer, spec_of\n"
        "print(*(hash_json(spec_of(base_tokenizer(kind))) for kind in KINDS))\n"
    )
    other = run_python(script, {"TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "12"})
    assert other.split() == [hash_json(spec_of(base_tokenizer(kind))) for kind in KINDS]


def run_python(script, environment):
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("model_type", [None, "gemma2", "llama"])
@pytest.mark.parametrize("kind", KINDS)
def test_auto_tokenizer_loads_the_same_beside_any_model(kind, model_type, tmp_path):
    tokenizer = base_tokenizer(kind)
    tokenizer.save_pretrained(tmp_path)
    if model_type is not None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert_same(tokenizer, loaded)


def assert_same(tokenizer, loaded):
    assert type(loaded) is type(tokenizer)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert spec_of(loaded) == spec_of(tokenizer)
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert loaded.padding_side == tokenizer.padding_side
    for line in ENGLISH[:30] + TARGETS["am"][:10] + HARD:
        assert loaded(line)["input_ids"] == tokenizer(line)["input_ids"]


def test_a_fresh_process_gives_identical_encodings(tmp_path):
    expected = {}
    for kind in KINDS:
        for model_type in ("gemma2", "llama"):
            directory = tmp_path / kind.value / model_type
            base_tokenizer(kind).save_pretrained(directory)
            (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
            ids = [base_tokenizer(kind)(line)["input_ids"] for line in ENGLISH[:20] + HARD]
            expected[str(directory)] = ids
    script = (
        "import json\nfrom transformers import AutoTokenizer\n"
        f"lines, places = json.loads({json.dumps(ENGLISH[:20] + HARD)!r}), {list(expected)!r}\n"
        "load = AutoTokenizer.from_pretrained\n"
        "print(json.dumps({place: load(place)(lines)['input_ids'] for place in places}))\n"
    )
    assert json.loads(run_python(script, {})) == expected


@pytest.mark.parametrize("name", STRUCTURES)
def test_taking_apart_and_building_changes_nothing(name):
    tokenizer = STRUCTURES[name]()
    rebuilt = build(pipeline_of(tokenizer))
    assert spec_of(rebuilt)["model"] == spec_of(tokenizer)["model"]
    assert_same(tokenizer, rebuilt)


@pytest.mark.parametrize("name", STRUCTURES)
def test_flags_of_added_tokens_survive_saving(name, tmp_path):
    rebuilt = build(pipeline_of(STRUCTURES[name]()))
    rebuilt.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert spec_of(loaded)["added_tokens"] == spec_of(rebuilt)["added_tokens"]


def test_other_special_tokens_can_be_named():
    specials = SpecialTokens(pad="[PAD]", bos="<s>", eos="</s>", others=("<|user|>",), unused=0)
    tokenizer = train_tokenizer(KINDS[1], ENGLISH, 500, specials=specials)
    assert tokenizer.convert_ids_to_tokens(range(5)) == [
        "[PAD]",
        "</s>",
        "<s>",
        "<unk>",
        "<|user|>",
    ]
    assert tokenizer("the")["input_ids"][0] == tokenizer.bos_token_id == 2


@pytest.mark.parametrize("kind", KINDS)
def test_size_is_never_exceeded_and_met_where_the_text_allows(kind):
    assert len(train_tokenizer(kind, ENGLISH, 450)) == 450
    assert len(train_tokenizer(kind, ["ab ab"], 450)) < 450


def test_a_size_without_room_for_pieces_is_refused():
    with raises(ConfigError, "tokenizer.size", 200, 270):
        train_tokenizer(KINDS[1], ENGLISH, 200)


def test_no_text_is_refused():
    with raises(DataError, "texts"):
        train_tokenizer(KINDS[0], ["", "  \n "], 500)
