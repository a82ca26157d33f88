"""SuperBPE: the first stage alone is an extension; the second joins words and loses no text."""

import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.splits import across_words
from franken.tokenizer.types import VocabTexts
from franken.tokenizer.word_counts import split_words
from franken.vocab.extension import ExtensionVocab
from franken.vocab.superbpe import SuperBpeVocab
from tests.faults import faults_of, raises
from tests.vocab.toys import ENGLISH, TARGETS, base_tokenizer, ids_of, spec_of, vocab_texts


@pytest.fixture(scope="module")
def base():
    return base_tokenizer(TokenizerKind.byte_level_bpe)


@pytest.fixture(scope="module")
def texts():
    """A language with phrases that come again and again."""
    lines = [f"{line} kwa sababu hiyo hiyo tu." for line in TARGETS["sw"]]
    return VocabTexts(lambda: ENGLISH, {"sw": lambda: lines})


def test_all_pieces_inside_words_is_an_extension(base):
    plain = ExtensionVocab(added=80).build(base, vocab_texts())
    found = SuperBpeVocab(added=80, transition=1.0).build(base, vocab_texts())
    assert spec_of(found.tokenizer) == spec_of(plain.tokenizer)


def test_words_that_stand_together_become_one_token_and_every_line_comes_back(base, texts):
    inside = ExtensionVocab(added=60).build(base, texts).tokenizer
    found = SuperBpeVocab(added=100, transition=0.6, max_words=3).build(base, texts)
    made = found.tokenizer
    old, vocab = inside.get_vocab(), made.get_vocab()
    assert {piece: vocab[piece] for piece in old} == old
    assert len(made) == len(inside) + 40
    new = [piece for piece in vocab if piece not in old]
    assert "Ġkwa\u0120sababu" in vocab
    assert found.report["parts"]["across_blanks"] >= 1
    assert max(piece.lstrip("Ġ").count("Ġ") for piece in new) == 2
    lines = [*next(iter(texts.targets.values()))(), *ENGLISH, "a\n\n  b\tc 12345 ... (d)  ", ""]
    for line in lines:
        assert made.decode(ids_of(made, line)) == line
        assert len(ids_of(made, line)) <= len(ids_of(inside, line))
    same = sum(base.tokenize(line) == made.tokenize(line) for line in ENGLISH)
    assert same >= 0.99 * len(ENGLISH)


def test_all_pieces_across_blanks_leave_the_words_of_the_base(base, texts):
    found = SuperBpeVocab(added=30, transition=0.0).build(base, texts)
    old, vocab = base.get_vocab(), found.tokenizer.get_vocab()
    assert {piece: vocab[piece] for piece in old} == old
    assert len(vocab) == len(old) + 30
    line = next(iter(texts.targets["sw"]()))
    assert len(ids_of(found.tokenizer, line)) < len(ids_of(base, line))


def test_what_stays_apart_without_words(base):
    backend = base.backend_tokenizer
    loose = across_words(pipeline_of(base))
    backend = type(backend).from_str(backend.to_str())
    backend.pre_tokenizer = _pre_tokenizer(loose)
    found = split_words(backend, ["go on, now 12 ?! a\tb   c"])
    assert set(found) == {"goĠon,ĠnowĠ", "1", "2", "Ġ?!", "Ġa", "ĉ", "b", "ĠĠ", "Ġc"}


def _pre_tokenizer(pipeline):
    from franken.tokenizer.assembly import empty_backend

    return empty_backend({**pipeline.spec, "post_processor": None}).pre_tokenizer


def test_what_cannot_be_is_refused(base):
    assert set(faults_of(SuperBpeVocab, transition=1.5, max_words=1)) == {
        "transition", "max_words",
    }  # fmt: skip
    unigram = base_tokenizer(TokenizerKind.sentencepiece_unigram)
    with raises(CompatibilityError, "vocab=superbpe"):
        SuperBpeVocab(added=10).build(unigram, vocab_texts())
