"""Tokenizer figures against counts by hand."""

import pytest

from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.eval_suite import evaluate
from franken.eval_suite.languages import language_name, spaces_words

TASK = TaskConfig(kind="tokenizer_intrinsics", source="monolingual")


@pytest.fixture
def table(case, data):
    suite = EvalSuiteConfig(tasks={"tokenizer": TASK})
    result = evaluate(case.model, case.tokenizer, suite, data, progress=False)
    return {(score.lang, score.metric): score for score in result.scores}


def count(case, lines):
    return sum(len(case.tokenizer(line, add_special_tokens=False)["input_ids"]) for line in lines)


def test_tokens_per_byte_and_word_are_ratios_of_totals(case, data, table):
    tokens = count(case, data.lines["ru"])
    size = sum(len(line.encode()) for line in data.lines["ru"])
    words = sum(len(line.split()) for line in data.lines["ru"])
    assert table["ru", "tokens_per_byte"].value == pytest.approx(tokens / size)
    assert table["ru", "tokens_per_word"].value == pytest.approx(tokens / words)
    assert table["ru", "tokens_per_byte"].n == 5


def test_parity_compares_with_the_source_side_of_parallel_text(case, data, table):
    expected = count(case, data.lines["ru"]) / count(case, data.lines["en"])
    assert table["ru", "parity"].value == pytest.approx(expected)
    assert ("en", "parity") not in table


def test_a_script_unseen_by_the_vocabulary_is_all_bytes(case, table):
    assert table["en", "byte_piece_share"].value == 0.0
    # every Cyrillic letter falls into byte pieces; spaces stay whole
    assert table["ru", "byte_piece_share"].value > 0.8


def test_round_trips_and_unknowns_are_counted(case, data, table):
    assert table["ru", "round_trip_failures"].value == 0.0
    assert table["ru", "unknown_share"].value == 0.0


def test_lines_that_do_not_come_back_are_listed(case, data):
    if case.name == "llama":
        pytest.skip("byte-level vocabularies lose nothing")
    data.lines["en"] = ["plain text", "marker \u2581 inside"]
    suite = EvalSuiteConfig(tasks={"tokenizer": TASK})
    result = evaluate(case.model, case.tokenizer, suite, data, progress=False)
    failures = [s for s in result.scores if (s.lang, s.metric) == ("en", "round_trip_failures")]
    assert failures[0].value == 0.5
    assert result.items["tokenizer"][0]["text"] == "marker \u2581 inside"


def test_utilisation_counts_pieces_that_occur(case, data, table):
    used = {
        token
        for line in data.lines["en"]
        for token in case.tokenizer(line, add_special_tokens=False)["input_ids"]
    }
    found = table["en", "vocabulary_utilisation"]
    assert found.value == pytest.approx(len(used) / (len(case.tokenizer) - 4))
    assert found.stderr is None


@pytest.mark.parametrize(
    ("code", "spaced", "name"),
    [
        ("ru", True, "Russian"), ("th", False, "Thai"), ("tha_Thai", False, "Thai"),
        ("swh_Latn", True, "Swahili"), ("bod_Tibt", False, "bod_Tibt"),
        ("shn_Mymr", False, "shn_Mymr"), ("zho_Hans", False, "Chinese"), ("xx", True, "xx"),
    ],
)  # fmt: skip
def test_languages_know_their_name_and_spacing(code, spaced, name):
    assert spaces_words(code) is spaced
    assert language_name(code) == name
