"""Rows in words, on the terminal and as JSON."""

import json
import math

import pytest

from franken.config.base_model import TokenizerKind
from franken.config.init_method import LexiconInit
from franken.explain import main
from franken.init_method import MapLabels, initialise
from franken.init_method.explain import explain_row, find_rows, phrase, worst_rows
from tests.init_method.tiny import RESOURCES, hand_made_map, source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    source, target = source_table(KIND), target_tokenizer(KIND)
    _, token_map = initialise(source, target, LexiconInit(), RESOURCES, 0)
    directory = tmp_path_factory.mktemp("step")
    token_map.save(directory / "token_map")
    return directory


def small_map():
    return hand_made_map(
        [{2: 1.0}, {0: 0.75, 1: 0.25}, {}, {0: 0.5, 1: 0.5}, {1: 1.0}, {}],
        [1, 2, 3, 3, 2, 4],
        source_rows=3,
        labels=MapLabels(["▁house", "▁home", "!"], ["!", "▁nyumba", "<tool>", "ny", "maji", ""]),
        notes={"method": "lexicon"},
    )


def test_a_row_is_one_line_of_words():
    assert phrase(small_map(), 1) == "▁nyumba <- 0.75 ▁house, 0.25 ▁home"
    assert phrase(small_map(), 1, top=1) == "▁nyumba <- 0.75 ▁house and 1 more"
    assert phrase(small_map(), 2) == "<tool> <- nothing known by lexicon: the mean source row"
    assert phrase(small_map(), 5).startswith("[row 5] <- no token has this id")


def test_a_row_as_json_has_its_sources_and_their_spread():
    found = explain_row(small_map(), 1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["effective_sources"] == pytest.approx(math.exp(entropy))
    assert found["sources"][0] == {"id": 0, "piece": "▁house", "weight": 0.75}
    assert (found["provenance"], found["source_count"]) == ("computed", 2)


def test_the_worst_rows_are_the_empty_then_the_fallen_back_then_the_spread():
    assert worst_rows(small_map(), 10) == [2, 3, 1, 4]
    assert worst_rows(small_map(), 1) == [2]


def test_a_bare_word_finds_its_form_with_a_space_first():
    token_map = small_map()
    assert find_rows(token_map, "nyumba") == [1]
    assert find_rows(token_map, " nyumba") == find_rows(token_map, "▁nyumba") == [1]
    assert find_rows(token_map, "maji") == [4]
    assert find_rows(token_map, "▁maji") == []


def test_the_command_answers_in_words(stored, capsys):
    assert main([str(stored), "nyumba", "--worst", "3"]) == 0
    out = capsys.readouterr().out
    assert "▁nyumba" in out
    assert "▁house" in out
    assert "0.500" in out
    assert "least supported rows" in out


def test_the_command_answers_machines(stored, capsys):
    assert main([str(stored / "token_map"), "▁nyumba", "--worst", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (piece,) = answer["pieces"]
    assert {item["piece"]: item["weight"] for item in piece["sources"]} == {
        "▁house": 0.5,
        "▁home": 0.5,
    }
    assert len(answer["worst"]) == 2
    assert sum(answer["counts"].values()) == answer["rows"]


def test_without_a_piece_the_command_shows_the_counts(stored, capsys):
    assert main([str(stored)]) == 0
    out = capsys.readouterr().out
    assert all(kind in out for kind in ("special", "copied", "computed", "fallback", "padding"))


def test_an_unknown_piece_names_the_nearest_and_spares_the_others(stored, capsys):
    assert main([str(stored), "nyumbaa", "maji"]) == 2
    caught = capsys.readouterr()
    assert "▁water" in caught.out
    assert "'nyumbaa' is no piece" in caught.err
    assert "nyumba" in caught.err.split("nearest:")[1]


def test_a_directory_without_a_map_is_a_clear_error(tmp_path, capsys):
    assert main([str(tmp_path), "nyumba"]) == 2
    assert "holds no token_map.json" in capsys.readouterr().err
