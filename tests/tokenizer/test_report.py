"""The figures of the report, against counting by hand."""

import pytest

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import build
from franken.tokenizer.pipeline import pipeline_of
from franken.tokenizer.report import vocabulary_report
from franken.vocab import VocabTexts
from tests.vocab.toys import ENGLISH, TARGETS, base_tokenizer, ids_of, spec_of, wrap, xlmr_like

BASE = TokenizerKind.sentencepiece_bpe


def test_figures_equal_a_slow_count():
    base, new = base_tokenizer(BASE), base_tokenizer(BASE, 700)
    lines = TARGETS["sw"][:40]
    texts = VocabTexts(source=lambda: ENGLISH[:30], targets={"sw": lambda: lines})
    report = vocabulary_report(base, new, texts)
    figures = report["languages"]["sw"]
    tokens = [len(ids_of(new, line)) for line in lines]
    size = sum(len(line.encode()) for line in lines)
    assert figures["lines"] == 40
    assert figures["new"]["tokens_per_line"] == pytest.approx(sum(tokens) / 40)
    assert figures["new"]["tokens_per_byte"] == pytest.approx(sum(tokens) / size)
    same = [base.tokenize(line) == new.tokenize(line) for line in ENGLISH[:30]]
    assert report["source_lines_identical"] == pytest.approx(sum(same) / 30)
    used = {i for line in [*lines, *ENGLISH[:30]] for i in ids_of(new, line)}
    assert report["utilisation"]["used"] == len(used)


def test_byte_tokens_are_counted():
    tokenizer = base_tokenizer(BASE)
    texts = VocabTexts(targets={"am": lambda: ["ሀ"]})
    figures = vocabulary_report(tokenizer, tokenizer, texts)["languages"]["am"]
    assert figures["byte_tokens_share"] == 1.0
    assert figures["new"]["tokens_per_byte"] == 1.0


def test_languages_without_text_are_left_out():
    tokenizer = base_tokenizer(BASE)
    assert vocabulary_report(tokenizer, tokenizer, VocabTexts())["languages"] == {}


def test_text_that_does_not_survive_is_counted_and_shown():
    tokenizer = xlmr_like()
    texts = VocabTexts(source=lambda: ["the house", "ቤት"])
    failures = vocabulary_report(tokenizer, tokenizer, texts)["languages"]["source"]
    assert failures["round_trip_failures"] == {"count": 1, "examples": ["ቤት"]}


def test_pieces_without_a_way_to_them_are_unreachable():
    pipeline = pipeline_of(base_tokenizer(BASE))
    pipeline.merges = [merge for merge in pipeline.merges if "".join(merge) != "▁water"]
    report = vocabulary_report(base_tokenizer(BASE), build(pipeline), VocabTexts())
    assert "▁water" in report["unreachable"]["examples"]


def test_pieces_that_are_no_complete_text_are_byte_only():
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    before = vocabulary_report(wrap(spec), wrap(spec), VocabTexts())["byte_only"]["count"]
    spec["added_tokens"], spec["post_processor"] = [], None
    spec["model"]["vocab"]["áĪ"] = len(spec["model"]["vocab"])
    tokenizer = wrap(spec)
    assert vocabulary_report(tokenizer, tokenizer, VocabTexts())["byte_only"]["count"] == before + 1


def test_at_most_the_asked_number_of_lines_is_measured():
    tokenizer = base_tokenizer(BASE)
    texts = VocabTexts(source=lambda: ENGLISH)
    report = vocabulary_report(tokenizer, tokenizer, texts, max_lines=7)
    assert report["languages"]["source"]["lines"] == 7
