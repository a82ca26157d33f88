"""Scores of answers."""

import json

import pytest
import torch

from franken.errors import ArtifactError, DataError
from franken.eval_suite.readout import read_out
from franken.preference.common.answers import (
    Answer,
    Answered,
    read_answers,
    read_lines,
    write_answers,
)
from franken.preference.common.scoring import likelihoods, scored_by_file, scores_of_file, verdict
from tests.data.conftest import word_tokenizer
from tests.faults import raises
from tests.training.tiny import tiny_model


@pytest.mark.parametrize(
    ("answer", "response", "right"),
    [
        ("12", "12", 1), ("it is 12 .", "12", 1), ("12 or 13", "12", 0), ("", "12", 0),
        ("1,200", "1200", 1), ("the answer is 7", "#### 7", 1), ("٧", "7", 1),
        ("Science !", "science", 1), ("the cook", "cook", 1), ("cook", "the baker", 0),
        ("3 cooks came", "3 cooks", 0), ("2 cooks", "3 cooks", 0), ("", "cook", 0),
    ],
)  # fmt: skip
def test_verdicts_by_number_or_by_words(answer, response, right) -> None:
    assert verdict(answer, response, "en") == right


def test_likelihoods_are_means_over_the_answers_tokens() -> None:
    model, tokenizer = tiny_model("llama", vocab_size=200), word_tokenizer()
    asked = [("ab", "cd"), ("ab", "e"), ("bb ", "fgh")]
    found = likelihoods(read_out(model), tokenizer, asked, batch_tokens=64)
    for (prompt, answer), value in zip(asked, found, strict=True):
        head = tokenizer(prompt)["input_ids"]
        tail = tokenizer(answer if prompt.endswith(" ") else f" {answer}")["input_ids"][1:]
        with torch.no_grad():
            logits = model(torch.tensor([head + tail])).logits[0].log_softmax(-1)
        each = [logits[len(head) + at - 1, token].item() for at, token in enumerate(tail)]
        assert value == pytest.approx(sum(each) / len(each), rel=1e-5)


def test_a_judge_with_a_chat_template_reads_turns() -> None:
    model, tokenizer = tiny_model("llama", vocab_size=200), word_tokenizer()
    template = "{% for m in messages %}({{ m.content }}){% endfor %}"
    readout = read_out(model)
    (spelt,) = likelihoods(readout, tokenizer, [("(ab)= ", "cd")], batch_tokens=64)
    tokenizer.chat_template = template + "= "
    (plain,) = likelihoods(readout, tokenizer, [("ab", "cd")], batch_tokens=64, chat="off")
    (turns,) = likelihoods(readout, tokenizer, [("ab", " cd")], batch_tokens=64)
    assert turns == pytest.approx(spelt)
    assert plain != pytest.approx(spelt)


def test_scores_of_a_file_are_found_by_prompt_and_answer(tmp_path) -> None:
    path = tmp_path / "scores.jsonl"
    rows = [
        {"prompt": "p ", "answer": "a", "score": 1},
        {"prompt": "p", "answer": "b", "score": 2.5},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    scores = scores_of_file(path)
    assert scored_by_file(scores, [("p", "b"), ("p", "a "), ("q", "a")]) == [2.5, 1.0, None]


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"prompt": "p", "answer": "a", "score": "high"}, ["'score'", "'high'"]),
        ({"prompt": "p", "answer": "a", "score": True}, ["'score'", True]),
        ({"prompt": "p", "answer": "a"}, ["'score'", "prompt, answer"]),
        ({"prompt": "p", "score": 1}, ["'answer'", "prompt, score"]),
    ],
)
def test_a_faulty_file_of_scores_is_refused_with_its_line(row, names, tmp_path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(row))
    with raises(DataError, "x.jsonl:1", *names):
        scores_of_file(tmp_path / "x.jsonl")
    with raises(DataError, f"score_file={str(tmp_path / 'y.jsonl')!r}"):
        scores_of_file(tmp_path / "y.jsonl")


def test_answers_come_back_as_they_were_written(tmp_path) -> None:
    answers = (Answer("a\u2028b", -1.5, 3, True), Answer("", -0.1, 0, False))
    records = [Answered("p", "r", "t", answers), Answered("q", "", "", ())]
    write_answers(records, tmp_path / "answers.jsonl")
    assert list(read_answers(tmp_path / "answers.jsonl")) == records


def test_a_damaged_file_is_an_artefact_error(tmp_path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": ')
    with raises(ArtifactError, tmp_path / "x.jsonl"):
        list(read_lines(tmp_path / "x.jsonl"))
