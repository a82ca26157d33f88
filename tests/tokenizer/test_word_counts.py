"""Text counted word by word: the same tokens as of whole lines, however words are found."""

import json
from collections import Counter

import pytest
from tokenizers import Tokenizer

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import backend_of, build, spec_of
from franken.tokenizer.pieces import PieceEncoder, Reading, canonical_bytes
from franken.tokenizer.pipeline import pipeline_of, reading_once
from franken.tokenizer.token_words import FIRST_LETTER, WordReader
from franken.tokenizer.word_counts import WordCounter, split_one_by_one, split_words
from tests.vocab import toys
from tests.vocab.toys import BPE_KINDS, ENGLISH, STRUCTURES, TARGETS, base_tokenizer, wrap

BPE = [*(kind.value for kind in BPE_KINDS), "gemma", "llama2", "llama3", "qwen"]
LINES = [
    *ENGLISH[:60],
    *TARGETS["ta"][:9],
    *TARGETS["am"][:3],
    "a  b   c \t d\u00a0e",
    "  leading, trailing  ",
    "<table><bos> the <tool_call>house</tool_call> <eos>",
    "e\u0301 a>  </b> x> </i>",
]


def tokenizer_of(name):
    return STRUCTURES[name]() if name in STRUCTURES else base_tokenizer(TokenizerKind(name))


def with_glue():
    """Gemma has a piece that goes on over a space: ``>▁</``."""
    spec = toys.spec_of(toys.gemma_like())
    vocab = spec["model"]["vocab"]
    for piece in (">", "<", "/", "</", ">▁", ">▁</"):
        vocab.setdefault(piece, len(vocab))
    spec["model"]["merges"] += [[">", "▁"], ["<", "/"], [">▁", "</"]]
    return wrap(spec, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def read(base, lines, more=()):
    pipeline = pipeline_of(base)
    names = [*sorted(pipeline.pieces, key=pipeline.pieces.__getitem__), *more]
    found = WordReader(base, pipeline, names).read([WordCounter(pipeline).count(lines)])
    return names, found


@pytest.mark.parametrize("name", [*BPE, "glue"])
def test_counted_words_use_the_tokens_that_whole_lines_use(name):
    base = with_glue() if name == "glue" else tokenizer_of(name)
    names, found = read(base, LINES * 2)
    encode = base.backend_tokenizer.encode
    wanted = Counter(
        token for line in LINES for token in encode(line, add_special_tokens=False).tokens * 2
    )
    assert {names[i]: n for i, n in enumerate(found.usage.tolist()) if n} == wanted


def test_a_piece_over_a_space_stays_whole():
    names, found = read(with_glue(), ["x> </i>"])
    assert found.usage[names.index(">▁</")] == 1


@pytest.mark.parametrize("name", ["gemma", "llama2"])
def test_characters_that_the_base_lacks_are_letters_of_words(name):
    base = tokenizer_of(name)
    assert "ஃ" not in base.get_vocab()
    names, found = read(base, ["the ஃ houseஃhouse", "<eos>ஃ"], ["ஃ"])
    assert found.usage[names.index("ஃ")] == 3
    spelled = ["".join(names[ord(x) - FIRST_LETTER] for x in word) for word in found.words]
    assert any("eஃh" in word for word in spelled)


def test_characters_are_those_of_normalised_lines():
    base = toys.gemma_like()
    counter = WordCounter(pipeline_of(base))
    assert counter.whole
    normalise = base.backend_tokenizer.normalizer.normalize_str
    found = counter.characters(counter.count(LINES))
    assert found == Counter("".join(map(normalise, LINES)))


@pytest.mark.parametrize("name", ["llama3", "qwen", "xlm_r"])
def test_trainers_count_the_words_that_splitting_gives(name):
    backend = tokenizer_of(name).backend_tokenizer
    found = split_words(backend, LINES)
    assert found == split_one_by_one(backend, LINES)
    assert found.total() > len(LINES)


@pytest.mark.parametrize("name", [*BPE, "xlm_r"])
def test_a_backend_is_what_its_json_makes(name):
    spec = spec_of(pipeline_of(tokenizer_of(name)))
    assert backend_of(spec).to_str() == Tokenizer.from_str(json.dumps(spec)).to_str()


@pytest.mark.parametrize("name", [*BPE, "xlm_r"])
def test_what_is_remembered_of_a_built_tokenizer_is_what_reading_finds(name):
    pipeline = pipeline_of(tokenizer_of(name))
    with reading_once():
        built = build(pipeline)
        remembered = pipeline_of(built)
        assert pipeline_of(built) is remembered
    assert remembered == pipeline_of(built)


@pytest.mark.parametrize("name", BPE)
def test_pieces_are_encoded_alike_around_the_tokenizers_own_model(name, monkeypatch):
    base = tokenizer_of(name)
    reading = Reading.of(base)
    texts = [data for data in canonical_bytes(base) if data] + [b"<bos> <eos>", b"\xe0\xae a", b""]
    shared = PieceEncoder(base, reading).encode(texts)
    monkeypatch.setattr("franken.tokenizer.pieces._around_the_model_of", lambda *_: None)
    assert shared == PieceEncoder(base, reading).encode(texts)
