"""Every shipped suite is typed, free of faults, and asks for fields that its items have."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from franken.config.checks import collect_faults
from franken.config.eval_suite import EvalSuiteConfig, LmEvalSuite
from franken.data.plain_text import read_texts
from franken.data.schemas import read_items
from franken.eval_suite.prompts import continuations, fill
from franken.tasks.base import kind_of

CONF = Path(__file__).parents[2] / "conf"
SUITES = sorted((CONF / "eval_suite").glob("*.yaml"))
LANGUAGE_FIELDS = ("lang", "language", "source_lang", "source_language")
ROWS = {
    "topic_classification": ("sib200", {"index_id": 0, "category": "travel", "text": "t"}),
    "books": ("sib200", {"index_id": 0, "category": "travel", "text": "t"}),
    "reading_comprehension": (
        "belebele",
        {
            "link": "l", "question_number": 1, "flores_passage": "p", "question": "q",
            "mc_answer1": "a", "mc_answer2": "b", "mc_answer3": "c", "mc_answer4": "d",
            "correct_answer_num": "1",
        },
    ),
    "translation": ("flores", {"id": 1, "sentence_en": "s", "sentence_sw": "t"}),
    "arithmetic": ("mgsm", {"question": "q", "answer_number": 3}),
    "summarisation": ("xlsum", {"id": "1", "url": "u", "title": "t", "summary": "s", "text": "t"}),
    "question_answering": (
        "xquad",
        {"id": "1", "context": "c", "question": "q", "answers": {"text": ["a"]}},
    ),
}  # fmt: skip


def is_harness(path):
    return "/schema/eval_suite/lm_eval@_here_" in OmegaConf.load(path).defaults


def load(path):
    content = OmegaConf.load(path)
    schema = LmEvalSuite if is_harness(path) else EvalSuiteConfig
    for default in content.pop("defaults"):
        part, _, place = default.partition("@")
        if place.startswith("tasks."):
            task = OmegaConf.load(CONF / f"{part.lstrip('/')}.yaml")
            content = OmegaConf.merge({"tasks": {place.removeprefix("tasks."): task}}, content)
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), content))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_a_suite_has_a_summary_its_own_name_and_no_faults(path):
    assert path.read_text(encoding="utf-8").startswith("# ")
    suite = load(path)
    assert suite.name == path.stem
    if path.stem == "lm_eval":  # the user is to name tasks
        assert [fault.key for fault in collect_faults({"eval_suite": suite})] == [
            "eval_suite.tasks"
        ]
        return
    assert suite.tasks
    assert collect_faults(suite) == []


def test_reports_of_pretrained_models_say_what_the_base_keeps():
    for name in ("adaptation", "intrinsics", "text", "topics", "sample", "pocket"):
        task = load(CONF / "eval_suite" / f"{name}.yaml").tasks["retention"]
        assert {"fr", "ru", "code"} <= set(task.languages), name
    for file in task.texts.values():
        assert sum(len(text) for text in read_texts(file)) > 2000, file


OWN_SUITES = [path for path in SUITES if not is_harness(path)]


@pytest.mark.parametrize("path", OWN_SUITES, ids=lambda path: path.stem)
def test_prompts_fit_the_items_of_their_schema(path):
    for name, task in load(path).tasks.items():
        if task.reads_text or not kind_of(task.kind).prompted:
            continue
        schema, row = ROWS[task.source]
        assert schema in kind_of(task.kind).schemas
        (item,) = read_items(schema, [row], lang="sw", source_lang="en")
        fields = dict.fromkeys(LANGUAGE_FIELDS, "x")
        if task.kind == "multiple_choice":
            fields |= {**item.fields, "options": "(A) a"}
            assert len(continuations(task, item.options, task=name)) == len(item.options)
        elif task.kind == "math":
            fields["question"] = item.question
        elif task.kind in ("summary", "answering"):
            fields |= item.fields
        else:
            fields |= {"source": item.source, "from_language": "x", "to_language": "y"}
        assert fill(task.prompt, fields, task=name)
