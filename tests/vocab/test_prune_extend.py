"""``prune_extend``: size, reserved ids, English kept, alphabet, reachability, both back-ends."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import ConfigError, DataError
from franken.tokenizer.compose import replay
from franken.tokenizer.pipeline import Pipeline, pipeline_of
from franken.tokenizer.pruning import needed_by_the_rest, worth
from franken.tokenizer.sampling import usage_counts
from franken.tokenizer.scripts import uses_only_scripts
from franken.vocab import VocabTexts, canonical_bytes, train_tokenizer, vocabulary_overlap
from franken.vocab.prune_extend import PruneExtendVocab
from tests.faults import raises
from tests.vocab.toys import (
    BPE_KINDS,
    ENGLISH,
    KINDS,
    OTHERS,
    STRUCTURES,
    TARGETS,
    base_tokenizer,
    gemma_like,
    ids_of,
    is_reachable,
    llama3_like,
    spec_of,
    vocab_texts,
    wrap,
)

PLAIN = PruneExtendVocab(min_count=3)
_BUILT = {}


def built(name, config=PLAIN):
    """Each vocabulary is built once for all tests."""
    base = STRUCTURES[name]() if name in STRUCTURES else base_tokenizer(TokenizerKind(name))
    key = name, json.dumps(vars(config), default=str)
    if key not in _BUILT:
        _BUILT[key] = config.build(base, vocab_texts())
    return base, _BUILT[key]


EVERY = [*STRUCTURES, *(kind.value for kind in KINDS)]


@pytest.mark.parametrize("name", EVERY)
def test_the_vocabulary_has_exactly_the_size_of_the_base(name):
    base, result = built(name)
    vocab = result.tokenizer.get_vocab()
    assert sorted(vocab.values()) == list(range(len(base)))
    parts = result.report["parts"]
    names = ("reserved", "kept", "new", "alphabet", "unused")
    assert sum(parts[part] for part in names) == len(base)


@pytest.mark.parametrize("name", EVERY)
def test_reserved_pieces_keep_their_ids(name):
    base, result = built(name)
    vocab = result.tokenizer.get_vocab()
    pipeline = pipeline_of(base)
    assert {
        index: piece for index, piece in pipeline.reserved().items() if vocab[piece] != index
    } == {}
    assert len(pipeline.byte_pieces()) == (0 if name == "xlm_r" else 256)


@pytest.mark.parametrize("name", EVERY)
def test_rules_of_the_base_are_kept(name):
    base, result = built(name)
    old, new = spec_of(base), spec_of(result.tokenizer)
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        assert new[part] == old[part]
    for flag in ("byte_fallback", "fuse_unk", "ignore_merges", "unk_token", "unk_id"):
        assert new["model"].get(flag) == old["model"].get(flag)
    names = {token["content"] for token in old["added_tokens"]}
    assert [t for t in new["added_tokens"] if t["content"] in names] == old["added_tokens"]
    assert result.tokenizer.special_tokens_map == base.special_tokens_map


@pytest.mark.parametrize("name", EVERY)
def test_nine_of_ten_english_lines_are_segmented_as_before(name):
    base, result = built(name)
    same = sum(base.tokenize(line) == result.tokenizer.tokenize(line) for line in ENGLISH)
    assert same >= 0.9 * len(ENGLISH)


@pytest.mark.parametrize("kind", KINDS)
def test_target_languages_need_far_fewer_tokens(kind):
    base, result = built(kind.value)
    for lines in TARGETS.values():
        before = sum(len(ids_of(base, line)) for line in lines)
        after = sum(len(ids_of(result.tokenizer, line)) for line in lines)
        assert after < 0.75 * before


@pytest.mark.parametrize("name", [name for name in EVERY if name != "xlm_r"])
def test_text_survives_encoding_and_decoding(name):
    _, result = built(name)
    for line in ENGLISH[:50] + [line for lines in TARGETS.values() for line in lines[:50]]:
        assert result.tokenizer.decode(ids_of(result.tokenizer, line)) == line


@pytest.mark.parametrize("name", ["gemma", "llama2", "sentencepiece_bpe", "sentencepiece_unigram"])
def test_the_alphabet_of_the_targets_is_complete(name):
    _, result = built(name)
    pieces = result.tokenizer.get_vocab()
    letters = {char for lines in TARGETS.values() for line in lines for char in line} - {" "}
    assert letters <= pieces.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_new_pieces_are_reachable(kind):
    base, result = built(kind.value)
    pipeline, old = pipeline_of(result.tokenizer), pipeline_of(base)
    new = [piece for piece in pipeline.normal() if piece not in old.pieces]
    model = result.tokenizer.backend_tokenizer.model
    assert len(new) > 90
    assert [piece for piece in new if not is_reachable(model, piece)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_kept_pieces_come_first_in_base_order(kind):
    base, result = built(kind.value)
    old, pipeline = pipeline_of(base), pipeline_of(result.tokenizer)
    kept = pipeline.normal()[: result.report["parts"]["kept"]]
    assert kept == [piece for piece in old.normal() if piece in set(kept)]


@pytest.mark.parametrize("kind", BPE_KINDS)
def test_merges_of_the_base_come_first_in_base_order(kind):
    base, result = built(kind.value)
    old, pipeline = pipeline_of(base), pipeline_of(result.tokenizer)
    pieces = {*pipeline.normal()[: result.report["parts"]["kept"]], *pipeline.reserved().values()}
    known = pipeline.pieces.keys()
    kept = [m for m in old.merges if "".join(m) in pieces and known >= set(m)]
    assert pipeline.merges[: len(kept)] == kept
    assert {"".join(merge) for merge in pipeline.merges[len(kept) :]}.isdisjoint(pieces)


@pytest.mark.parametrize("name", ["gemma", "qwen", "xlm_r"])
def test_what_the_target_uses_stays_whatever_has_to_go(name):
    base = STRUCTURES[name]()
    lines = [*TARGETS["sw"], *["strasse wasser вода große"] * 3]
    texts = replace(vocab_texts(), targets={"xx": lambda: lines})
    result = PruneExtendVocab(added=300).build(base, texts)
    used = {token for line in lines for token in base.tokenize(line)}
    assert used <= result.tokenizer.get_vocab().keys()
    assert result.report["parts"]["pruned"] > 50


def test_only_as_many_pieces_give_way_as_there_are_better_ones():
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    texts = replace(vocab_texts(), targets={"xx": lambda: ["mbwa kubwa"] * 9})
    parts = PLAIN.build(base, texts).report["parts"]
    assert 0 < parts["new"] == parts["pruned"] < 12
    assert parts["unused"] == 0


def test_a_small_probe_gives_nothing_away_and_says_what_to_do():
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    texts = replace(vocab_texts(), source=lambda: ENGLISH[:2])
    with raises(
        ConfigError,
        "vocab=prune_extend",
        len(base),
        "vocab.size",
        "vocab.added",
        "vocab.kept_share",
    ):
        PruneExtendVocab().build(base, texts)
    assert PruneExtendVocab(added=20).build(base, texts).report["parts"]["pruned"] == 20


def test_other_languages_lose_little(caplog):
    """Russian is in no text that the option sees; the base was trained on it."""
    base = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    result = PruneExtendVocab().build(base, vocab_texts())
    russian = [line for line in OTHERS if not line.isascii()]
    before = sum(len(ids_of(base, line)) for line in russian)
    assert sum(len(ids_of(result.tokenizer, line)) for line in russian) < 1.3 * before
    assert result.report["parts"]["protected"] > 0
    assert "vocab.added" in caplog.text


def test_scripts_that_are_not_named_go_first():
    base = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    config = PruneExtendVocab(added=120, keep_scripts=["Latin", "Common", "Inherited"])
    texts = replace(vocab_texts(), source=lambda: [*ENGLISH, *["Вода, вода."] * 50])
    gone = base.get_vocab().keys() - config.build(base, texts).tokenizer.get_vocab().keys()
    assert len(gone) == 120
    assert all(not uses_only_scripts(piece, config.keep_scripts) for piece in gone)


def test_digits_and_newlines_stay_without_any_use():
    vocab = built("sentencepiece_bpe")[1].tokenizer.get_vocab()
    assert set("0123456789\n") <= vocab.keys()


def test_merge_closure_keeps_what_leads_to_kept_pieces():
    merges = [("a", "b"), ("c", "d"), ("ab", "cd"), ("b", "c")]
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    assert replay("abcd", ranks) == (["abcd"], {"a", "b", "c", "d", "ab", "cd", "abcd"})


def test_without_closure_a_piece_is_cut_that_was_kept():
    """``ab`` leads to ``abc`` and no text uses it; it is the first to go where nothing holds it."""
    pieces = [*"abcdxyz", "ab", "abc", "xy", "xyz"]
    merges = [("a", "b"), ("ab", "c"), ("x", "y"), ("xy", "z")]
    pipeline = Pipeline(
        TokenizerKind.byte_level_bpe,
        {"model": {}},
        {piece: index for index, piece in enumerate(pieces)},
        merges,
    )
    source, target = np.zeros(11, np.int64), np.zeros(11, np.int64)
    source[pieces.index("abc")], target[pieces.index("xyz")] = 9, 1
    closed = worth(pipeline, source, target)
    assert closed["ab"] == closed["abc"] == 9
    assert closed["xy"] == closed["xyz"] == math.inf
    assert worth(pipeline, source, target, closure=False)["ab"] == 0
    assert needed_by_the_rest(pipeline, ["xyz", "xy", "ab"]) == {"ab"}


@pytest.mark.parametrize("kind", KINDS)
def test_kept_share_keeps_the_most_used_pieces(kind):
    base = base_tokenizer(kind)
    result = replace(PLAIN, kept_share=0.2).build(base, vocab_texts())
    pipeline, vocab = pipeline_of(base), result.tokenizer.get_vocab()
    usage = [
        usage_counts(base.backend_tokenizer, lines, pipeline.size)
        for lines in (ENGLISH, [line for lines in TARGETS.values() for line in lines])
    ]
    worths = worth(pipeline, *usage)
    gone = [uses for piece, uses in worths.items() if piece not in vocab]
    stay = [uses for piece, uses in worths.items() if piece in vocab]
    assert 0 < max(gone) <= min(stay)
    assert result.report["parts"]["pruned_of_used"] > 0
    assert len(result.tokenizer) == len(base)


def test_ids_without_a_piece_are_filled_and_warned_of(caplog):
    base = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    texts = VocabTexts(source=lambda: ENGLISH, targets={"xx": lambda: ["ሀሁ ሀሁ"] * 3})
    result = replace(PLAIN, size=len(base) + 50).build(base, texts)
    assert len(result.tokenizer) == len(base) + 50
    table = canonical_bytes(result.tokenizer)
    fillers = [piece for piece in result.tokenizer.get_vocab() if piece.startswith("<unused")]
    assert len(fillers) == 8 + result.report["parts"]["unused"] > 40
    assert {table[result.tokenizer.get_vocab()[piece]] for piece in fillers} == {None}
    assert "<unusedN>" in caplog.text


@pytest.mark.parametrize("change", [-150, 0, 250])
@pytest.mark.parametrize("name", ["gemma", "llama3"])
def test_another_size_is_met_exactly_and_bos_is_still_written(name, change):
    base = STRUCTURES[name]()
    config = replace(PLAIN, size=len(base) + change, kept_share=0.4)
    tokenizer = config.build(base, vocab_texts()).tokenizer
    vocab = tokenizer.get_vocab()
    assert sorted(vocab.values()) == list(range(len(base) + change))
    ids = tokenizer("the house")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id == vocab[base.bos_token]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the house"
    if name == "gemma" or change >= 0:
        assert tokenizer.bos_token_id == base.bos_token_id


def test_a_size_too_small_for_the_kept_pieces_is_refused():
    base = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    with raises(ConfigError, "vocab.size", 400, "vocab.kept_share"):
        replace(PLAIN, size=400).build(base, vocab_texts())


def test_source_text_is_needed():
    with raises(DataError, "vocab=prune_extend", "data.source_lang"):
        PLAIN.build(base_tokenizer(KINDS[0]), replace(vocab_texts(), source=lambda: []))


def test_target_text_is_needed():
    with raises(DataError, "vocab=prune_extend", "data.languages", "vocab=original"):
        PLAIN.build(base_tokenizer(KINDS[0]), replace(vocab_texts(), targets={}))
    texts = replace(vocab_texts(), targets={"xx": lambda: ["", " "]})
    with raises(DataError, "xx", "data.languages"):
        PLAIN.build(base_tokenizer(KINDS[0]), texts)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_input_gives_equal_vocabularies(kind):
    base, first = built(kind.value)
    again = PLAIN.build(base, vocab_texts())
    assert spec_of(again.tokenizer) == spec_of(first.tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_and_reserved_rows_are_found_in_the_base(kind):
    base, result = built(kind.value)
    overlap = vocabulary_overlap(base, result.tokenizer)
    pipeline = pipeline_of(result.tokenizer)
    kept = pipeline.normal()[: result.report["parts"]["kept"]]
    for piece in [*kept, *pipeline_of(base).reserved().values()]:
        assert overlap[pipeline.pieces[piece]] == base.get_vocab()[piece]


def test_pieces_that_are_part_of_a_character_stay_when_used():
    texts = VocabTexts(
        lambda: ["naïve café – “quoted” text…"] * 400 + ENGLISH, vocab_texts().targets
    )
    base = train_tokenizer(TokenizerKind.byte_level_bpe, texts.source(), 700)
    result = PLAIN.build(base, texts)
    line = "naïve “text”…"
    assert result.tokenizer.tokenize(line) == base.tokenize(line)


def test_the_report_counts_add_up_and_are_json():
    _, result = built("gemma")
    parts = json.loads(json.dumps(result.report))["parts"]
    assert parts["kept"] + parts["pruned"] == len(pipeline_of(gemma_like()).normal())


def test_reserved_ids_inside_a_larger_vocabulary_survive_saving(tmp_path):
    base = llama3_like()
    config = replace(PLAIN, size=len(base) + 100)
    tokenizer = config.build(base, vocab_texts()).tokenizer
    tokenizer.save_pretrained(tmp_path)
    loaded = wrap(json.loads((tmp_path / "tokenizer.json").read_text()), bos_token=base.bos_token)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.bos_token_id == base.bos_token_id
