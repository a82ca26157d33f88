from typing import Any

import pytest

from franken.data.items import AnswerItem, ChoiceItem, MathItem, TaggedItem, TranslationItem
from franken.data.schemas import (
    SIB200_LABELS,
    plain_number,
    read_items,
    schema_names,
)
from franken.errors import DataError
from tests.faults import raises

ROWS: dict[str, dict[str, Any]] = {
    "sib200": {"index_id": 7, "category": "sports", "text": "A match."},
    "belebele": {
        "link": "https://en.wikibooks.org/wiki/x", "question_number": 2, "flores_passage": "P",
        "question": "Q?", "mc_answer1": "a", "mc_answer2": "b", "mc_answer3": "c",
        "mc_answer4": "d", "correct_answer_num": "3", "dialect": "swh_Latn",
    },
    "xcopa": {
        "premise": "It rained.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect",
        "label": 1, "idx": 4, "changed": False,
    },
    "global_mmlu": {
        "sample_id": "s/1", "question": "Q?", "option_a": "a", "option_b": "b", "option_c": "c",
        "option_d": "d", "answer": "D",
    },
    "flores": {"id": 5, "sentence_en": "one", "sentence_sw": "moja"},
    "mgsm": {"question": "How many?", "answer": None, "answer_number": "1,234"},
    "gsm8k": {"question": "How many?", "answer": "2+2=4\n#### 1,004.0"},
    "xlsum": {"id": "s1", "title": "T", "summary": "Short.", "text": "Long."},
    "tagged": {"tokens": ["Ada", "anaimba"], "ner_tags": ["B-PER", "O"]},
    "xnli": {"premise": "It rains.", "hypothesis": "It is wet.", "label": 0},
    "xquad": {
        "id": "q1", "context": "C", "question": "Q?",
        "answers": {"text": ["a", "b"], "answer_start": [0, 3]},
    },
    "mkqa": {
        "example_id": 9, "query": "who?", "queries": {"en": "who?", "sw": "nani?"},
        "answers": {"en": [{"text": "she", "aliases": []}],
                    "sw": [{"text": "yeye", "aliases": ["huyo", "yeye"]}]},
    },
    "globalopinionqa": {
        "question": "Q?", "options": "['Yes', 'No', 'Perhaps']",
        "selections": "defaultdict(<class 'list'>, {'Kenya': [0.25, 0.4, 0.35], "
                      "'Peru': [0.5, 0.5, 0.0]})",
    },
    "culturalbench": {
        "data_idx": 3, "prompt_question": "Q?", "prompt_option_a": "a", "prompt_option_b": "b",
        "prompt_option_c": "c", "prompt_option_d": "d", "answer": "B", "country": "Kenya",
    },
}  # fmt: skip

ITEMS = {
    "sib200": ChoiceItem("7", {"text": "A match."}, SIB200_LABELS, 3),
    "belebele": ChoiceItem(
        "https://en.wikibooks.org/wiki/x#2", {"passage": "P", "question": "Q?"},
        ("a", "b", "c", "d"), 2,
    ),
    "xcopa": ChoiceItem(
        "4", {"premise": "It rained.", "question": "effect", "connector": "so"}, ("Wet.", "Dry."), 1
    ),
    "global_mmlu": ChoiceItem("s/1", {"question": "Q?"}, ("a", "b", "c", "d"), 3),
    "flores": TranslationItem("5", "one", "moja"),
    "mgsm": MathItem("1", "How many?", "1234"),
    "gsm8k": MathItem("1", "How many?", "1004"),
    "xlsum": AnswerItem("s1", {"title": "T", "text": "Long."}, ("Short.",)),
    "tagged": TaggedItem("1", ("Ada", "anaimba"), ("B-PER", "O")),
    "xnli": ChoiceItem(
        "1", {"premise": "It rains.", "hypothesis": "It is wet."},
        ("entailment", "neutral", "contradiction"), 0,
    ),
    "xquad": AnswerItem("q1", {"context": "C", "question": "Q?"}, ("a", "b")),
    "mkqa": AnswerItem("9", {"question": "nani?"}, ("yeye", "huyo")),
    "globalopinionqa": ChoiceItem(
        "1", {"question": "Q?", "country": "Kenya"}, ("Yes", "No", "Perhaps"), 1
    ),
    "culturalbench": ChoiceItem("3", {"question": "Q?", "country": "Kenya"}, tuple("abcd"), 1),
}  # fmt: skip


def read(schema: str, *rows: dict[str, Any]) -> list[Any]:
    return list(read_items(schema, rows, lang="sw", source_lang="en"))


@pytest.mark.parametrize("schema", schema_names())
def test_published_rows_become_items(schema: str) -> None:
    assert read(schema, ROWS[schema]) == [ITEMS[schema]]


def test_questions_about_one_passage_are_a_cluster_of_the_same_name_in_every_language() -> None:
    def rows(*passages: str) -> list[dict[str, Any]]:
        return [
            {**ROWS["xquad"], "id": f"q{n}", "context": text} for n, text in enumerate(passages)
        ]

    english, greek = read("xquad", *rows("A", "A", "B")), read("xquad", *rows("Α΄", "Α΄", "Β΄"))
    assert [item.cluster for item in english] == ["q0", "q0", "q2"]
    assert [item.cluster for item in greek] == [item.cluster for item in english]


@pytest.mark.parametrize(
    ("schema", "change", "names"),
    [
        ("sib200", {"category": "sprots"}, ["category", "'sprots'", "science/technology"]),
        ("sib200", {"text": ""}, ["'text'", "''"]),
        ("belebele", {"correct_answer_num": "5"}, ["correct_answer_num", "'5'", "1, 2, 3, 4"]),
        ("belebele", {"mc_answer4": None}, ["'mc_answer4'", None]),
        ("xcopa", {"question": "because"}, ["question", "'because'", "cause, effect"]),
        ("xcopa", {"label": 2}, ["label", "'2'", "0, 1"]),
        ("global_mmlu", {"answer": "E"}, ["answer", "'E'", "A, B, C, D"]),
        ("mgsm", {"answer_number": "many"}, ["answer", "'many'"]),
        ("gsm8k", {"answer": "4"}, ["answer", "'4'", "####"]),
    ],
)
def test_misfits_name_the_row(schema: str, change: dict[str, Any], names: list[Any]) -> None:
    with raises(DataError, 2, "'sw'", schema, *names):
        read(schema, ROWS[schema], {**ROWS[schema], **change})


@pytest.mark.parametrize("schema", schema_names())
def test_every_needed_column_is_missed(schema: str) -> None:
    optional = {"index_id", "link", "question_number", "idx", "sample_id", "id", "dialect",
                "changed", "example_id", "query", "data_idx"}  # fmt: skip
    for column in set(ROWS[schema]) - optional - ({"answer"} if schema == "mgsm" else set()):
        row = {name: value for name, value in ROWS[schema].items() if name != column}
        with raises(DataError, f"'{column}'", schema, ", ".join(sorted(row))):
            read(schema, row)


def test_countries_decide_the_language() -> None:
    row = ROWS["globalopinionqa"]

    def countries(culture: str) -> list[str]:
        items = read_items(
            "globalopinionqa", [row, {**row, "selections": {"Kenya": [1, 0, 0]}}],
            lang="en", source_lang="en", culture=culture,
        )  # fmt: skip
        return [f"{item.fields['country']} {item.answer}" for item in items]

    assert countries("es") == ["Peru 0"]
    assert countries("sw") == ["Kenya 1", "Kenya 0"]
    with raises(DataError, "'en'", "globalopinionqa"):
        countries("tr")


@pytest.mark.parametrize(
    ("schema", "change", "names"),
    [
        ("xnli", {"label": 3}, ["label", "'3'", "0, 1, 2"]),
        ("xquad", {"answers": {"text": "a"}}, ["'answers'", "{'text': 'a'}", "{text: [...]}"]),
        ("mkqa", {"queries": {"en": "who?"}}, ["'sw'", "en"]),
        ("globalopinionqa", {"options": "['Yes']"}, ["Kenya", 1, 3, "'selections'"]),
        ("globalopinionqa", {"options": "Yes or no"}, ["'options'", "'Yes or no'"]),
        ("culturalbench", {"answer": "E"}, ["answer", "'E'", "A, B, C, D"]),
    ],
)
def test_misfits_of_question_sets(schema: str, change: dict[str, Any], names: list[Any]) -> None:
    with raises(DataError, 1, "'sw'", schema, *names):
        read(schema, {**ROWS[schema], **change})


def test_a_label_set_of_its_own() -> None:
    rows = [{"category": name, "text": "x"} for name in ("food", "animals", "sports", "food")]
    items = read("sib200", *rows)
    assert items[0].options == ("animals", "food", "sports")
    assert [item.answer for item in items] == [1, 0, 2, 1]


def test_a_few_rows_have_the_labels_of_the_whole_set() -> None:
    """Chance is a matter of the set, not of the rows that a limit leaves."""
    whole = [{"category": name, "text": "x"} for name in ("acts", "gospel", "letter", "vision")]
    items = read_items("sib200", whole[1:3], lang="en", source_lang="en", whole=whole)
    assert [item.options for item in items] == [("acts", "gospel", "letter", "vision")] * 2
    assert [item.answer for item in items] == [1, 2]


def test_unknown_and_empty_sets() -> None:
    with raises(DataError, "'sib'", "belebele", "xquad"):
        read("sib")
    with raises(DataError, "'sw'", "xcopa"):
        read("xcopa")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1,234", "1234"), (18, "18"), (3.0, "3"), ("2.50", "2.50"), ("-7", "-7"), ("$1,000", "1000"),
     (" 5 ", "5"), ("1 234 567", "1234567"), ("100%", "100")],
)  # fmt: skip
def test_plain_numbers(value: Any, expected: str) -> None:
    assert plain_number(value) == expected


@pytest.mark.parametrize("value", ["", "12 apples", "1,2", None, True, "one"])
def test_no_numbers(value: Any) -> None:
    with raises(ValueError, repr(value)):
        plain_number(value)
