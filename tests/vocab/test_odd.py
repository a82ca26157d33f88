"""Scripts and tokenizers out of the common: they work to the letter, or are refused."""

import random
import unicodedata

import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.reachability import unreachable_pieces
from franken.vocab import VocabTexts
from franken.vocab.extension import ExtensionVocab
from franken.vocab.prune_extend import PruneExtendVocab
from franken.vocab.scratch import ScratchVocab
from tests.vocab.toys import (
    ENGLISH,
    STRUCTURES,
    TARGETS,
    added,
    base_tokenizer,
    ids_of,
    spec_of,
    wrap,
)

TEXTS = {
    "thai": "สวัสดีครับ วันนี้อากาศดีมาก เราไปตลาดด้วยกันไหม ภาษาไทยไม่มีช่องว่าง",
    "japanese": "今日は天気がとても良いです。私たちは市場に行きます。カタカナと漢字。",
    "hebrew": "שלום עולם, הַיּוֹם מזג האוויר יפה מאוד. אנחנו הולכים לשוק",
    "hindi": "नमस्ते, आज मौसम बहुत अच्छा है। हम बाज़ार जा रहे हैं १२३",
    "nko": "ߒߞߏ ߞߊ߲ߜߍ ߖߊ߬ߡߊߣߊ ߞߣߐ߫ ߸ ߁߂߃",
    "emoji": "😀😃 👍🏽👍🏿 🇰🇪🇹🇿 👨‍👩‍👧 ☕️ 1️⃣2️⃣ x² ①",
    "nfd": unicodedata.normalize("NFD", "été naïve tiếng Việt äöü ção ñandú"),
    "crlf": "nyumba kubwa\r\nmtoto mdogo\r\n\r\nkitabu kizuri\r",
}
BASES = ["gemma", "llama2", "llama3", "byte_level_bpe"]
OPTIONS = [ExtensionVocab(added=60), PruneExtendVocab(added=60), ScratchVocab(size=900)]


def base_of(name):
    return STRUCTURES[name]() if name in STRUCTURES else base_tokenizer(TokenizerKind(name))


def lines_of(text):
    draw, words = random.Random(0), text.split(" ")
    return [" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(40)]


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("name", BASES)
def test_any_script_comes_back_and_every_new_piece_can_be_reached(name, language):
    base, lines = base_of(name), lines_of(TEXTS[language])
    texts = VocabTexts(lambda: ENGLISH[:200], {"xx": lambda: lines})
    for config in OPTIONS:
        new = config.build(base, texts).tokenizer
        for line in [*lines[:5], f"  {TEXTS['emoji']} \t "]:
            assert new.decode(ids_of(new, line)) == line
        assert unreachable_pieces(new, new.get_vocab().keys() - base.get_vocab().keys()) == []


@pytest.mark.parametrize(
    "lines", [["a"], ["ha" * 500], [" ".join(TARGETS["sw"])], TARGETS["sw"][:20], ENGLISH[:50]]
)
def test_corpora_of_any_shape_give_a_vocabulary(lines):
    base = base_of("gemma")
    texts = VocabTexts(lambda: ENGLISH[:200], {"xx": lambda: lines})
    before, after = base, ExtensionVocab(added=30).build(base, texts).tokenizer
    for line in lines:
        assert after.decode(ids_of(after, line)) == line
        assert len(ids_of(after, line)) <= len(ids_of(before, line))


def changed(**model):
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    spec["model"] |= model
    return wrap(spec, eos_token="<eos>")


def with_two_pieces_under_one_id():
    """An added token outside a model whose ids have gaps gets an id that is taken."""
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    last = max(spec["model"]["vocab"].values())
    spec["model"]["vocab"] |= {"zq": last + 5, "qz": last + 6}
    spec["added_tokens"] = [
        token if token["content"] in spec["model"]["vocab"] else {**token, "id": last + 20 + at}
        for at, token in enumerate(spec["added_tokens"])
    ]
    return wrap(spec, eos_token="<eos>")


@pytest.mark.parametrize("config", OPTIONS, ids=lambda config: type(config).__name__)
@pytest.mark.parametrize(
    ("base", "named"),
    [
        (lambda: changed(end_of_word_suffix="</w>"), "</w>"),
        (lambda: changed(dropout=0.1), "dropout 0.1"),
        (with_two_pieces_under_one_id, "'zq'"),
    ],
    ids=["suffix", "dropout", "shared id"],
)
def test_tokenizers_that_cannot_be_grown_are_refused_with_what_is_wrong(config, base, named):
    texts = VocabTexts(lambda: ENGLISH[:50], {"sw": lambda: TARGETS["sw"]})
    with pytest.raises(CompatibilityError) as fault:
        config.build(base(), texts)
    assert named in str(fault.value)


def test_ids_with_gaps_stay_where_they_are():
    spec = spec_of(STRUCTURES["gemma"]())
    vocab = spec["model"]["vocab"]
    vocab["<|gap|>"] = len(vocab) + 40
    spec["added_tokens"].append(added("<|gap|>", vocab["<|gap|>"], special=True))
    base = wrap(spec, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")
    texts = VocabTexts(lambda: ENGLISH[:200], {"sw": lambda: TARGETS["sw"]})
    new = ExtensionVocab(added=30).build(base, texts).tokenizer
    old = pipeline_of(base).pieces
    assert {piece: index for piece, index in new.get_vocab().items() if piece in old} == old
    assert ids_of(new, "a<|gap|>")[-1] == vocab["<|gap|>"]
