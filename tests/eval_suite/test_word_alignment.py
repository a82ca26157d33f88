"""Error rate of links that are read off a model's states, against a count by hand."""

import pytest
import torch

from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.data.source import Pair
from franken.errors import DataError
from franken.eval_suite import evaluate
from tests.faults import raises

SUITE = EvalSuiteConfig(
    tasks={"own": TaskConfig(kind="word_alignment", source="parallel", limit=4,
                             options={"layer": 0})}
)  # fmt: skip


def test_the_rate_counts_links_that_are_not_shared(case, data, monkeypatch):
    lines = [("a b", "b a"), ("a a b", "a b")]
    links = [((0, 1), (1, 0)), ((0, 0), (2, 1))]
    pairs = [Pair(*texts, known) for texts, known in zip(lines, links, strict=True)]
    monkeypatch.setattr(type(data), "pairs", lambda *_: iter(pairs))
    (score,) = evaluate(case.model, case.tokenizer, SUITE, data, progress=False).scores
    rows = case.model.get_input_embeddings().weight.detach()
    wrong = total = 0
    for (left, right), known in zip(lines, links, strict=True):
        sides = [
            [case.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)]
            for text in (left, right)
        ]
        words = [words_by_hand(made[0], text) for made, text in zip(sides, (left, right),
                                                                     strict=True)]  # fmt: skip
        states = [torch.nn.functional.normalize(rows[[t for t, _ in own]], dim=1) for own in words]
        alike = states[0] @ states[1].T
        found = {
            (words[0][i][1], words[1][j][1])
            for i in range(len(alike)) for j in range(len(alike[0]))
            if alike[i, j] == alike[i].max() == alike[:, j].max()
        }  # fmt: skip
        wrong += len(found ^ set(known))
        total += len(found) + len(known)
    assert score.value == pytest.approx(wrong / total)
    assert (score.metric, score.lang, score.n) == ("alignment_error_rate", "ru", 2)


def words_by_hand(made, text):
    """(id, number of the word) of every token with a letter."""
    found = []
    for token, (start, stop) in zip(made["input_ids"], made["offset_mapping"], strict=True):
        if text[start:stop].strip():
            letter = start + len(text[start:stop]) - len(text[start:stop].lstrip())
            found.append((token, text[:letter].count(" ")))
    return found


def test_pairs_without_links_are_refused(case, data):
    with raises(DataError, "own", "ru"):
        evaluate(case.model, case.tokenizer, SUITE, data, progress=False)
