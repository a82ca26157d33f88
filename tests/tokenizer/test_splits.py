"""Split patterns that cut words at combining marks: seen, repaired, warned of."""

import copy
import json

import pytest
import regex

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import build
from franken.tokenizer.options import Splitting
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.splits import GPT2_PATTERN, cut_words, repair_marks, with_marks
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.extension import ExtensionVocab
from franken.vocab.original import OriginalVocab
from franken.vocab.prune_extend import PruneExtendVocab
from franken.vocab.scratch import ScratchVocab
from tests.vocab.toys import (
    ENGLISH,
    TARGETS,
    base_tokenizer,
    gemma_like,
    ids_of,
    llama3_like,
    spec_of,
    wrap,
)

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
HINDI = "मैं हिन्दी में लिखता हूँ"
SMALL = "It's 12 o'clock, e\u0301t\u00e9 (oui)  \n\n x_y"


def old_llama3():
    """Llama 3's own pattern, which leaves marks out of words."""
    spec = spec_of(llama3_like())
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = LLAMA3
    return wrap(spec, bos_token="<|begin_of_text|>")


def gpt2_like():
    """SmolLM2's and Claude's kind: ``ByteLevel`` splits by itself."""
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    spec["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return wrap(spec)


@pytest.mark.parametrize("pattern", [LLAMA3, GPT2_PATTERN])
def test_marks_join_words_and_text_without_marks_is_split_as_before(pattern):
    repaired = with_marks(pattern)
    assert regex.findall(repaired, "வணக்கம் நண்பா") == ["வணக்கம்", " நண்பா"]
    assert len(regex.findall(pattern, "வணக்கம் நண்பா")) > 4
    for line in [*ENGLISH[:50], SMALL.replace("e\u0301", "é")]:
        assert regex.findall(repaired, line) == regex.findall(pattern, line)
    assert with_marks(repaired) == repaired


@pytest.mark.parametrize("make", [old_llama3, gpt2_like])
def test_the_repaired_tokenizer_loses_nothing_and_leaves_english_alone(make):
    base = make()
    pipeline, changed = repair_marks(pipeline_of(base))
    repaired = build(pipeline)
    assert changed == 1
    for line in [*ENGLISH[:100], *TARGETS["ta"][:20], HINDI, SMALL]:
        assert repaired.decode(ids_of(repaired, line)) == line
    assert [ids_of(base, line) for line in ENGLISH] == [ids_of(repaired, line) for line in ENGLISH]
    assert cut_words(base.backend_tokenizer, [HINDI]) == (5, 5)
    assert cut_words(repaired.backend_tokenizer, [HINDI]) == (0, 5)


@pytest.mark.parametrize("config", [ExtensionVocab(added=150), PruneExtendVocab(added=150)])
def test_the_option_makes_longer_pieces_of_a_script_with_marks(config, caplog):
    base = old_llama3()
    texts = VocabTexts(lambda: ENGLISH, {"ta": lambda: TARGETS["ta"]})
    kept = build_vocabulary(base, config, texts, 0)
    assert kept.report["words_cut_at_marks"]["ta"] > 0.5
    assert "vocab.split=marks" in caplog.text
    caplog.clear()
    config.split = Splitting.marks
    repaired = build_vocabulary(base, config, texts, 0)
    assert repaired.report["words_cut_at_marks"]["ta"] == 0
    assert repaired.report["split_patterns_repaired"] == 1
    assert "vocab.split" not in caplog.text
    figures = [
        each.report["languages"]["ta"]["new"]["tokens_per_byte"] for each in (kept, repaired)
    ]
    assert figures[1] < 0.8 * figures[0]
    assert repaired.report["source_lines_identical"] >= kept.report["source_lines_identical"] - 0.01


def test_a_vocabulary_that_does_not_help_a_target_is_named_with_figures(caplog):
    texts = VocabTexts(lambda: ENGLISH, {"en2": lambda: ENGLISH[:200]})
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    report = build_vocabulary(base, ScratchVocab(size=400), texts, 0).report
    figures = report["languages"]["en2"]
    assert figures["new_to_base"] > 1
    assert f"{figures['new']['tokens_per_byte']:.3f}" in caplog.text
    caplog.clear()
    build_vocabulary(base, OriginalVocab(), texts, 0)
    assert caplog.text == ""


@pytest.mark.parametrize("make", [gemma_like, old_llama3])
def test_unused_tokens_are_counted_and_dropped_where_asked(make, caplog):
    base = copy.deepcopy(make())
    spec = json.loads(base.backend_tokenizer.to_str())
    more = [f"<|reserved_special_token_{number}|>" for number in range(60)]
    base.add_special_tokens({"extra_special_tokens": more})
    texts = VocabTexts(lambda: ENGLISH, {"sw": lambda: TARGETS["sw"]})
    keep = build_vocabulary(base, ScratchVocab(size=600), texts, 0)
    assert keep.report["parts"]["reserved_unused"] >= 60
    assert "vocab.drop_unused" in caplog.text
    drop = build_vocabulary(base, ScratchVocab(size=600, drop_unused=True), texts, 0)
    vocab = drop.tokenizer.get_vocab()
    assert not set(more) & vocab.keys()
    assert sorted(vocab.values()) == list(range(len(vocab)))
    assert drop.report["parts"]["new"] >= keep.report["parts"]["new"] + 60
    kept = {t["content"] for t in spec["added_tokens"] if "unused" not in t["content"]}
    assert kept - {t for t in kept if "reserved" in t} <= vocab.keys()
    for line in [*ENGLISH[:20], *TARGETS["sw"][:20]]:
        assert drop.tokenizer.decode(ids_of(drop.tokenizer, line)) == line
