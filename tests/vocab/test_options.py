"""The other options, and the one door to all of them."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from franken import vocab
from franken.config.base_model import TokenizerKind
from franken.config.vocab import (
    ExtensionVocab,
    FromPretrainedVocab,
    OriginalVocab,
    PruneExtendVocab,
    ScratchVocab,
    VocabConfig,
)
from franken.errors import ConfigError
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.reachability import is_reachable
from franken.vocab import OPTIONS, build_vocabulary, extension, original, scratch
from tests.vocab.toys import (
    ENGLISH,
    KINDS,
    STRUCTURES,
    TARGETS,
    base_tokenizer,
    gemma_like,
    ids_of,
    spec_of,
    vocab_texts,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", STRUCTURES)
def test_original_is_the_base_tokenizer(name):
    base = STRUCTURES[name]()
    tokenizer = original.build(base, OriginalVocab(), vocab_texts()).tokenizer
    assert spec_of(tokenizer) == spec_of(base)
    assert tokenizer is not base


@pytest.mark.parametrize("name", STRUCTURES)
def test_extension_changes_no_base_id_and_appends_the_rest(name):
    base = STRUCTURES[name]()
    result = extension.build(base, ExtensionVocab(added=150), vocab_texts())
    vocab = result.tokenizer.get_vocab()
    assert {piece: vocab[piece] for piece in base.get_vocab()} == base.get_vocab()
    assert len(vocab) == len(base) + 150
    assert sorted(vocab.values()) == list(range(len(base) + 150))
    assert result.tokenizer.bos_token_id == base.bos_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_extension_shortens_the_targets_and_keeps_english(kind):
    base = base_tokenizer(kind)
    tokenizer = extension.build(base, ExtensionVocab(), vocab_texts()).tokenizer
    same = sum(base.tokenize(line) == tokenizer.tokenize(line) for line in ENGLISH)
    assert same >= 0.9 * len(ENGLISH)
    for lines in TARGETS.values():
        before = sum(len(ids_of(base, line)) for line in lines)
        assert sum(len(ids_of(tokenizer, line)) for line in lines) < 0.75 * before


@pytest.mark.parametrize("kind", KINDS)
def test_extension_adds_only_reachable_pieces(kind):
    base = base_tokenizer(kind)
    tokenizer = extension.build(base, ExtensionVocab(added=200), vocab_texts()).tokenizer
    model = tokenizer.backend_tokenizer.model
    new = [piece for piece in pipeline_of(tokenizer).normal() if piece not in base.get_vocab()]
    assert len(new) == 200
    assert [piece for piece in new if not is_reachable(model, piece)] == []


def test_extension_size_is_the_total():
    base = base_tokenizer(KINDS[1])
    tokenizer = extension.build(base, ExtensionVocab(size=1250), vocab_texts()).tokenizer
    assert len(tokenizer) == 1250
    assert extension.added_count(pipeline_of(base), ExtensionVocab()) == round(0.34 * len(base))
    with pytest.raises(ConfigError, match=r"vocab\.size"):
        extension.build(base, ExtensionVocab(size=len(base)), vocab_texts())


@pytest.mark.parametrize("name", STRUCTURES)
def test_scratch_has_the_size_and_the_rules_of_the_base(name):
    base = STRUCTURES[name]()
    tokenizer = scratch.build(base, ScratchVocab(size=800), vocab_texts()).tokenizer
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))
    # A Unigram vocabulary holds only pieces that the (short) text needs.
    assert len(tokenizer) == 800 or (name == "xlm_r" and len(tokenizer) > 400)
    old, new = spec_of(base), spec_of(tokenizer)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        assert new[part] == old[part]
    ids = tokenizer("the house")["input_ids"]
    if base.bos_token is not None:
        assert ids[0] == tokenizer.bos_token_id
    assert set(base.added_tokens_encoder) <= tokenizer.get_vocab().keys()


@pytest.mark.parametrize("kind", KINDS)
def test_scratch_reads_source_text_only_when_told(kind):
    base = base_tokenizer(kind)
    with_source = scratch.build(base, ScratchVocab(size=800), vocab_texts()).tokenizer
    without = replace(ScratchVocab(size=800), include_source=False)
    alone = scratch.build(base, without, vocab_texts()).tokenizer
    counts = [sum(len(ids_of(t, line)) for line in ENGLISH) for t in (with_source, alone)]
    assert counts[0] < 0.8 * counts[1]


def test_scratch_keeps_gemma_specials_at_their_ids():
    base = gemma_like()
    tokenizer = scratch.build(base, ScratchVocab(), vocab_texts()).tokenizer
    assert tokenizer.added_tokens_encoder == base.added_tokens_encoder


def test_from_pretrained_reads_a_directory(tmp_path):
    base_tokenizer(KINDS[1]).save_pretrained(tmp_path)
    config = FromPretrainedVocab(path=str(tmp_path))
    result = build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)
    assert spec_of(result.tokenizer) == spec_of(base_tokenizer(KINDS[1]))


def test_from_pretrained_names_what_is_missing(tmp_path):
    config = FromPretrainedVocab(path=str(tmp_path))
    with pytest.raises(ConfigError, match=r"vocab\.path: .*tokenizer\.json"):
        build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)


def test_from_pretrained_says_that_neither_directory_nor_hub_has_it(monkeypatch):
    def offline(*_, **options):
        assert options["trust_remote_code"] is False
        raise OSError("not cached and no network")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    config = FromPretrainedVocab(path="no/such_tokenizer")
    with pytest.raises(ConfigError, match=r"no such directory.*no network"):
        build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)


def test_unknown_options_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="prune_extend"):
        build_vocabulary(base_tokenizer(KINDS[0]), VocabConfig(name="os"), vocab_texts(), 0)


def test_other_packages_join_through_an_entry_point(monkeypatch):
    point = EntryPoint("theirs", "franken.vocab.original:build", "franken.vocab")
    monkeypatch.setattr(vocab, "entry_points", lambda group: [point])
    base = base_tokenizer(KINDS[0])
    result = build_vocabulary(base, VocabConfig(name="theirs"), vocab_texts(), 0)
    assert result.tokenizer.get_vocab() == base.get_vocab()


def test_every_option_has_a_config_file_with_a_summary():
    for name in OPTIONS:
        first, *_ = (ROOT / "conf" / "vocab" / f"{name}.yaml").read_text().splitlines()
        assert first.startswith("# ")
        assert first.endswith(".")


@pytest.mark.parametrize(
    "config",
    [ScratchVocab(), ExtensionVocab(), PruneExtendVocab(min_count=3), OriginalVocab()],
    ids=lambda config: config.name,
)
def test_the_report_is_json_and_finds_nothing_broken(config):
    base = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    result = build_vocabulary(base, config, vocab_texts(), 0)
    report = json.loads(json.dumps(result.report))
    assert report["option"] == config.name
    assert report["size"] == {"base": len(base), "new": len(result.tokenizer)}
    assert set(report["languages"]) == {"source", "sw", "ta", "am"}
    for figures in report["languages"].values():
        assert figures["round_trip_failures"] == {"count": 0, "examples": []}
    if config.name == "original":
        assert report["source_lines_identical"] == 1.0
        assert report["overlap"]["share"] == 1.0
    else:
        assert report["languages"]["am"]["new_to_base"] < 0.6
