"""Real text: an English-German base made to fit Swahili, Tamil and Amharic."""

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest

from franken.config.base_model import TokenizerKind
from franken.vocab import VocabTexts, build_vocabulary, train_tokenizer
from franken.vocab.prune_extend import PruneExtendVocab

SHARED = Path(os.environ.get("FRANKEN_SHARED", Path(__file__).parents[3] / "shared"))
MONO = SHARED / "data" / "mono"

pytestmark = pytest.mark.skipif(
    not MONO.is_dir(), reason="needs the sample data: set FRANKEN_SHARED to its directory"
)
TARGETS = ("sw", "ta", "am")


def lines(language, split="train", limit=800):
    path = MONO / f"{language}.{split}.jsonl"
    packed = path.with_name(f"{path.name}.gz")
    with path.open() if path.exists() else gzip.open(packed, "rt", encoding="utf-8") as handle:
        texts = (json.loads(line)["text"] for line in handle)
        parts = (line for text in texts for line in text.split("\n") if line.strip())
        return list(islice(parts, limit))


@pytest.fixture(scope="module", params=["sentencepiece_bpe", "byte_level_bpe"])
def built(request):
    english = lines("en", limit=4000)
    base = train_tokenizer(
        TokenizerKind(request.param),
        [*english, *lines("de", limit=1500), *lines("tt", limit=1500)],
        6000,
    )
    texts = VocabTexts(lambda: english, {name: (lambda n=name: lines(n)) for name in TARGETS})
    config = PruneExtendVocab(min_count=2, kept_share=0.7)
    return base, build_vocabulary(base, config, texts, seed=0)


def test_held_out_english_is_segmented_as_before(built):
    base, result = built
    held_out = lines("en", "valid", limit=400)
    before = sum(len(base.tokenize(line)) for line in held_out)
    after = sum(len(result.tokenizer.tokenize(line)) for line in held_out)
    assert after < 1.05 * before
    assert result.report["source_lines_identical"] >= 0.9


def test_held_out_target_text_needs_far_fewer_tokens(built):
    base, result = built
    for language, share in (("sw", 0.95), ("ta", 0.4), ("am", 0.4)):
        held_out = lines(language, "valid", limit=100)
        before = sum(len(base.tokenize(line)) for line in held_out)
        after = sum(len(result.tokenizer.tokenize(line)) for line in held_out)
        assert after < share * before, language


def test_nothing_is_lost_or_out_of_reach(built):
    base, result = built
    report = result.report
    assert len(result.tokenizer) == len(base)
    assert report["parts"]["unused"] == 0
    assert report["unreachable"]["count"] <= 0.01 * len(base)
    for figures in report["languages"].values():
        assert figures["round_trip_failures"]["count"] == 0
