"""Rows in words, on the terminal and as JSON."""

import json
import math

import pytest

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.explain import main
from franken.init_method import MapLabels, initialise
from franken.init_method.lexicon import LexiconInit
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.init_method.weighted_pooling import PoolingScheme, WeightedPoolingInit
from franken.token_map.compare import compare_maps
from franken.token_map.explain import explain_row, find_rows, phrase, worst_rows
from franken.token_map.storage import save_map
from tests.faults import raises, unnamed
from tests.init_method.tiny import RESOURCES, hand_made_map, source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    source, target = source_table(KIND), target_tokenizer(KIND)
    _, token_map = initialise(source, target, LexiconInit(), RESOURCES, 0)
    directory = tmp_path_factory.mktemp("step")
    save_map(token_map, directory / "token_map")
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
    assert not unnamed(phrase(small_map(), 2), "<tool> <-", "lexicon", "mean")
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
    assert not unnamed(caught.err, "'nyumbaa'", "nyumba")


@pytest.mark.parametrize("count", ["0", "-5", "many", "2.5"])
@pytest.mark.parametrize("command", [["--worst"], ["compare", "OTHER", "--top"]])
def test_a_number_of_rows_is_positive(stored, capsys, command, count):
    given = (
        [str(stored), *command] if command[0] == "--worst" else [*command[:1], "A", *command[1:]]
    )
    with raises(SystemExit, 2):
        main([*given[:-1], f"{given[-1]}={count}"])
    assert not unnamed(capsys.readouterr().err, command[-1], 1, repr(count))


def test_a_negative_number_after_a_space_is_refused_too(stored, capsys):
    with raises(SystemExit, 2):
        main([str(stored), "--worst", "-5"])
    assert "--worst" in capsys.readouterr().err


def test_a_directory_without_a_map_is_a_clear_error(tmp_path, capsys):
    assert main([str(tmp_path), "nyumba"]) == 2
    assert not unnamed(capsys.readouterr().err, tmp_path, "token_map.json")


def test_rows_with_weights_of_their_own_for_the_output_show_both(tmp_path, capsys):
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    config = WeightedPoolingInit(scheme=PoolingScheme.last_first)
    _, token_map = initialise(source, target, config, RESOURCES, 0)
    save_map(token_map, tmp_path)
    assert main([str(tmp_path), "▁nyumba"]) == 0
    shown, below = capsys.readouterr().out.split("output embeddings:")
    assert shown.count("█") == below.splitlines()[1].count("█") == 24
    assert main([str(tmp_path), "▁nyumba", "--json"]) == 0
    (piece,) = json.loads(capsys.readouterr().out)["pieces"]
    assert [len(piece[side]) for side in ("sources", "output_sources")] == [1, 7]


def test_rows_that_training_moved_after_the_map_say_so():
    token_map = small_map()
    token_map.notes["trained"] = {"what": "new rows"}
    assert explain_row(token_map, 1)["how"].endswith("fitted by lexicon; then trained")
    assert explain_row(token_map, 2)["how"].endswith("the mean source row; then trained")
    assert "trained" not in explain_row(token_map, 0)["how"]
    token_map.notes["trained"] = {"what": "all rows"}
    assert explain_row(token_map, 0)["how"].endswith("; then trained")
    token_map.notes["trained"] = {"what": "weights"}
    assert "trained" not in explain_row(token_map, 1)["how"]


# --- compare ----------------------------------------------------------------------------------

NAMES = MapLabels(["▁house", "▁home", "!"], ["!", "▁nyumba", "<tool>", "ny", "maji", ""])


def two_maps():
    first = small_map()
    second = hand_made_map(
        [{2: 1.0}, {0: 0.25, 2: 0.75}, {1: 1.0}, {0: 0.5, 1: 0.5}, {1: 1.0}, {}],
        [1, 2, 2, 2, 1, 4],
        source_rows=3,
        labels=NAMES,
        notes={"method": "wechsel"},
    )
    return first, second


def test_two_maps_are_compared_by_hand():
    found = compare_maps(*two_maps())
    assert found["methods"] == ["lexicon", "wechsel"]
    assert (found["common_rows"], found["only_one"]) == (5, [1, 1])  # padding is no token
    moves = {(item["first"], item["second"]): item["rows"] for item in found["moved"]}
    assert moves == {
        ("copied", "copied"): 1, ("computed", "computed"): 1, ("fallback", "computed"): 2,
        ("computed", "copied"): 1,
    }  # fmt: skip
    assert found["same_weights"] == 3
    assert found["weighted_in_one"] == [0, 1]
    # weighted in both, not copied in both: rows 1, 3 and 4
    assert found["judged_rows"] == 3
    cosine = 0.75 * 0.25 / (0.75**2 + 0.25**2)
    assert found["cosine"] == pytest.approx((cosine + 1 + 1) / 3)
    assert found["jaccard"] == pytest.approx((1 / 3 + 1 + 1) / 3)
    assert found["l1"] == pytest.approx(1.5 / 3)
    assert [item["piece"] for item in found["differing"]] == ["▁nyumba", "<tool>"]
    assert found["differing"][0]["first"] == "▁nyumba <- 0.75 ▁house, 0.25 ▁home"
    assert found["differing"][1]["cosine"] is None
    assert len(compare_maps(*two_maps(), top=1)["differing"]) == 1


def test_a_map_equals_itself_and_its_reordered_self():
    first, _ = two_maps()
    order = [4, 3, 2, 1, 0]
    rows = [dict(first.row(row)) for row in order]
    moved = hand_made_map(
        rows,
        first.provenance[order].tolist(),
        source_rows=3,
        labels=MapLabels(NAMES.source, [NAMES.target[row] for row in order]),
        keys=[first.keys[row] for row in order],
        notes={"method": "lexicon"},
    )
    for other in (first, moved):
        found = compare_maps(first, other)
        assert found["same_weights"] == found["common_rows"] == 5
        assert found["differing"] == []
        assert (found["cosine"], found["l1"]) == (pytest.approx(1.0), 0.0)


def test_maps_of_other_sources_or_without_common_tokens_are_refused():
    first, second = two_maps()
    second.keys = [b"other" + key for key in second.keys]
    with raises(CompatibilityError, "target", f"{len(first.keys)} and {len(second.keys)}"):
        compare_maps(first, second)
    second.labels.source[0] = "▁maison"
    with raises(CompatibilityError, "source", 3):
        compare_maps(first, second)


def test_the_command_compares(stored, tmp_path, capsys):
    _, other = initialise(
        source_table(KIND), target_tokenizer(KIND), SubtokenMeanInit(), RESOURCES, 0
    )
    save_map(other, tmp_path / "token_map")
    assert main(["compare", str(stored), str(tmp_path), "--top", "2"]) == 0
    out = capsys.readouterr().out
    assert not unnamed(out, "lexicon  |  subtoken_mean", "L1")
    assert main(["compare", str(stored), str(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert sum(item["rows"] for item in answer["moved"]) == answer["common_rows"]
    assert main(["compare", str(stored), str(tmp_path / "nowhere")]) == 2
    assert not unnamed(capsys.readouterr().err, tmp_path / "nowhere", "token_map.json")
