"""The other options, and the one door to all of them."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from franken.config.base_model import TokenizerKind
from franken.errors import ConfigError
from franken.tokenizer.pipeline import pipeline_of
from franken.vocab import build_vocabulary, extension
from franken.vocab.alp import AlpVocab
from franken.vocab.extension import ExtensionVocab
from franken.vocab.from_pretrained import FromPretrainedVocab
from franken.vocab.original import OriginalVocab
from franken.vocab.prune_extend import PruneExtendVocab
from franken.vocab.scratch import ScratchVocab
from tests.faults import raises
from tests.vocab.toys import (
    ENGLISH,
    KINDS,
    STRUCTURES,
    TARGETS,
    base_tokenizer,
    gemma_like,
    ids_of,
    is_reachable,
    spec_of,
    vocab_texts,
)

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", STRUCTURES)
def test_original_is_the_base_tokenizer(name):
    base = STRUCTURES[name]()
    tokenizer = OriginalVocab().build(base, vocab_texts()).tokenizer
    assert spec_of(tokenizer) == spec_of(base)
    assert tokenizer is not base


@pytest.mark.parametrize("name", STRUCTURES)
def test_extension_changes_no_base_id_and_appends_the_rest(name):
    base = STRUCTURES[name]()
    result = ExtensionVocab(added=150).build(base, vocab_texts())
    vocab = result.tokenizer.get_vocab()
    assert {piece: vocab[piece] for piece in base.get_vocab()} == base.get_vocab()
    assert len(vocab) == len(base) + 150
    assert sorted(vocab.values()) == list(range(len(base) + 150))
    assert result.tokenizer.bos_token_id == base.bos_token_id


@pytest.mark.parametrize("kind", KINDS)
def test_extension_shortens_the_targets_and_keeps_english(kind):
    base = base_tokenizer(kind)
    tokenizer = ExtensionVocab().build(base, vocab_texts()).tokenizer
    same = sum(base.tokenize(line) == tokenizer.tokenize(line) for line in ENGLISH)
    assert same >= 0.9 * len(ENGLISH)
    for lines in TARGETS.values():
        before = sum(len(ids_of(base, line)) for line in lines)
        assert sum(len(ids_of(tokenizer, line)) for line in lines) < 0.75 * before


@pytest.mark.parametrize("kind", KINDS)
def test_extension_adds_only_reachable_pieces(kind):
    base = base_tokenizer(kind)
    tokenizer = ExtensionVocab(added=200).build(base, vocab_texts()).tokenizer
    model = tokenizer.backend_tokenizer.model
    new = [piece for piece in pipeline_of(tokenizer).normal() if piece not in base.get_vocab()]
    assert len(new) == 200
    assert [piece for piece in new if not is_reachable(model, piece)] == []


def test_extension_size_is_the_total():
    base = base_tokenizer(KINDS[1])
    tokenizer = ExtensionVocab(size=1250).build(base, vocab_texts()).tokenizer
    assert len(tokenizer) == 1250
    assert extension.added_count(pipeline_of(base), ExtensionVocab()) == round(0.34 * len(base))
    with raises(ConfigError, "vocab.size", len(base), "vocab.added"):
        ExtensionVocab(size=len(base)).build(base, vocab_texts())


@pytest.mark.parametrize("name", STRUCTURES)
def test_scratch_has_the_size_and_the_rules_of_the_base(name):
    base = STRUCTURES[name]()
    tokenizer = ScratchVocab(size=800).build(base, vocab_texts()).tokenizer
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
    with_source = ScratchVocab(size=800).build(base, vocab_texts()).tokenizer
    without = replace(ScratchVocab(size=800), include_source=False)
    alone = without.build(base, vocab_texts()).tokenizer
    counts = [sum(len(ids_of(t, line)) for line in ENGLISH) for t in (with_source, alone)]
    assert counts[0] < 0.8 * counts[1]


def test_scratch_keeps_gemma_specials_at_their_ids():
    base = gemma_like()
    tokenizer = ScratchVocab().build(base, vocab_texts()).tokenizer
    assert tokenizer.added_tokens_encoder == base.added_tokens_encoder


def test_from_pretrained_reads_a_directory(tmp_path):
    base_tokenizer(KINDS[1]).save_pretrained(tmp_path)
    config = FromPretrainedVocab(path=str(tmp_path))
    result = build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)
    assert spec_of(result.tokenizer) == spec_of(base_tokenizer(KINDS[1]))


def test_from_pretrained_names_what_is_missing(tmp_path):
    with raises(ConfigError, "path", tmp_path, "tokenizer.json"):
        FromPretrainedVocab(path=str(tmp_path))
    (tmp_path / "vocab.txt").write_text("a")
    config = FromPretrainedVocab(path=str(tmp_path))
    (tmp_path / "vocab.txt").unlink()
    with raises(ConfigError, "vocab=from_pretrained", "path", tmp_path, "tokenizer.json"):
        build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)


def test_from_pretrained_says_that_neither_directory_nor_hub_has_it(monkeypatch):
    def offline(*_, **options):
        assert options["trust_remote_code"] is False
        raise OSError("not cached and no network")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    config = FromPretrainedVocab(path="no/such_tokenizer")
    with raises(ConfigError, "vocab.path", "'no/such_tokenizer'", "not cached and no network"):
        build_vocabulary(base_tokenizer(KINDS[0]), config, vocab_texts(), 0)


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


@pytest.mark.parametrize(
    "config",
    [ScratchVocab(size=500), ExtensionVocab(added=120), PruneExtendVocab(added=120)],
    ids=lambda config: config.name,
)
def test_without_bytes_every_character_of_the_targets_gets_a_piece(config):
    """XLM-R's kind: what it has no piece for is lost, so one rare letter counts."""
    base = STRUCTURES["xlm_r"]()
    rare = "ጿ"
    lines = [*TARGETS["am"] * 3, f"ቤት{rare}"]
    texts = replace(vocab_texts(), targets={"am": lambda: lines})
    tokenizer = build_vocabulary(base, config, texts, 0).tokenizer
    assert rare not in base.get_vocab()
    assert tokenizer.unk_token_id not in {i for line in lines for i in ids_of(tokenizer, line)}


def test_the_searched_vocabulary_is_that_of_its_size_from_scratch():
    base = base_tokenizer(TokenizerKind.byte_level_bpe)
    options = {"start": 300, "step": 40, "most": 460}
    by_change = AlpVocab(**options, change=1.0).build(base, vocab_texts())
    history = by_change.report["alp"]
    sizes, values = zip(*history, strict=True)
    assert list(sizes) == list(range(300, sizes[-1] + 1, 40))
    gains = [abs(b - a) for a, b in itertools.pairwise(values)]
    assert all(gain >= 1.0 for gain in gains[:-1])
    assert gains[-1] < 1.0 or sizes[-1] in (420, 460)
    same = ScratchVocab(size=sizes[-1], include_source=False).build(base, vocab_texts())
    assert spec_of(by_change.tokenizer) == spec_of(same.tokenizer)
    assert AlpVocab(**options, change=1e9).build(base, vocab_texts()).report["alp"][-1][0] == 340
