"""Allocation and overlap of a model's vocabulary, against counts by hand."""

from collections import Counter

import pytest
from scipy.spatial.distance import jensenshannon

from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.eval_suite import evaluate


def test_ranks_characters_and_overlap_are_those_of_the_tokens_of_the_text(case, data):
    suite = EvalSuiteConfig(
        tasks={"own": TaskConfig(kind="vocabulary_allocation", source="monolingual")}
    )
    scores = evaluate(case.model, case.tokenizer, suite, data, progress=False).scores
    found = {(score.lang, score.metric): score.value for score in scores}
    counts = {
        lang: Counter(
            token for line in data.lines[lang]
            for token in case.tokenizer(line, add_special_tokens=False)["input_ids"]
        )
        for lang in ("en", "ru")
    }  # fmt: skip
    for lang, own in counts.items():
        shares = sorted((count / own.total() for count in own.values()), reverse=True)
        rank = sum(place * share for place, share in enumerate(shares, 1))
        assert found[lang, "average_rank"] == pytest.approx(rank)
        characters = sum(map(len, data.lines[lang]))
        assert found[lang, "characters_per_token"] == pytest.approx(characters / own.total())
    tokens = sorted(counts["en"].keys() | counts["ru"].keys())
    en, ru = ([counts[lang][token] for token in tokens] for lang in ("en", "ru"))
    assert found["ru", "divergence_from_source"] == pytest.approx(jensenshannon(en, ru, 2) ** 2)
    assert ("en", "divergence_from_source") not in found
