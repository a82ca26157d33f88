"""Free answers and summaries: worked figures, and both kinds on the embedded world."""

from types import SimpleNamespace

import pytest
import torch
from sacrebleu.metrics.chrf import CHRF

from franken.config.data import MicroworldData
from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.data import open_data
from franken.eval_suite import evaluate
from franken.tasks.answering import overlap, words

DATA = open_data(MicroworldData(languages=["id", "ka"], evaluation=6))


def test_words_are_compared_as_squad_does() -> None:
    assert words("The  Cat, sat!", "en") == ["cat", "sat"]
    assert words("«The» кот.", "ru") == ["the", "кот"]
    assert words("猫が", "ja") == ["猫", "が"]
    assert overlap(["cat", "sat"], ["cat", "sat"]) == 1.0
    assert overlap(["cat", "sat", "cat"], ["cat"]) == pytest.approx(2 * 1 / (3 + 1))
    assert overlap(["dog"], ["cat"]) == overlap([], ["cat"]) == 0.0
    assert overlap([], []) == 1.0


def test_the_worlds_answers_are_those_of_its_reading_questions() -> None:
    squad = DATA.task_rows("question_answering", "en")
    reading = DATA.task_rows("reading_comprehension", "en")
    for row, other in zip(squad, reading, strict=True):
        (answer,) = row["answers"]["text"]
        assert answer == other[f"mc_answer{other['correct_answer_num']}"]
        assert row["context"] == other["flores_passage"]
        start = row["answers"]["answer_start"][0]
        assert row["context"][start : start + len(answer)] == answer
    for row in DATA.task_rows("summarisation", "ka"):
        assert len(row["summary"]) < len(row["text"])
        assert set(row["summary"].split()) & set(row["text"].split())


def test_both_kinds_are_scored_from_what_was_generated(case: SimpleNamespace) -> None:
    suite = EvalSuiteConfig(
        tasks={
            "qa": TaskConfig("answering", "question_answering", "{context}\n{question}\n",
                             shots=0, max_new_tokens=4, languages=["id"]),
            "sum": TaskConfig("summary", "summarisation", "{title} {text}\n",
                              max_new_tokens=4, languages=["id", "ka"]),
        }
    )  # fmt: skip
    with torch.random.fork_rng():
        result = evaluate(case.model, case.tokenizer, suite, DATA, progress=False)
    scores = {(s.task, s.lang, s.metric): s for s in result.scores}
    assert {key[2] for key in scores} == {"acc_exact", "f1", "chrf", "chrf++"}
    items = result.items["qa"]
    assert scores["qa", "id", "f1"].value == pytest.approx(sum(i["f1"] for i in items) / 6)
    made = [i for i in result.items["sum"] if i["lang"] == "ka"]
    expected = CHRF().corpus_score(
        [i["generation"] for i in made], [[i["reference"] for i in made]]
    )
    found = scores["sum", "ka", "chrf"]
    assert found.value == pytest.approx(expected.score)
    assert found.extra["low"] <= found.value <= found.extra["high"]
