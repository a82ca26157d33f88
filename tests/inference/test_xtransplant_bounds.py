"""Figures from verdicts, selection of pairs (V9 to V11, V13), rows on disk."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from franken.errors import ArtifactError, ConfigError, DataError
from franken.inference.base import Judge, Scope, SelectConfig, SelectMode, TieBreak
from franken.inference.xtransplant.bounds import (
    best_of,
    blocks,
    budgets,
    figures,
    interval,
    verdicts,
)
from franken.inference.xtransplant.plan import absolute, pair_set
from franken.inference.xtransplant.rows import Row, RowFiles, only, read_rows
from franken.inference.xtransplant.scores import scores_of
from franken.inference.xtransplant.selection import (
    ChosenPairs,
    best_pair,
    check_whole,
    select_pairs,
)
from tests.faults import raises

DEPTH = 4


def row(lang: str, index: int, run: str, source: int, target: int, right: bool) -> Row:
    return Row("topics", lang, str(index), index, run, source, target, [1], "x", right, right,
               None, 1.0, False)  # fmt: skip


def some_rows(seed: int = 0, samples: int = 12, rate: float = 0.2) -> list[Row]:
    generator = np.random.default_rng(seed)
    rows = []
    for lang, index in itertools.product(("tr", "ka"), range(samples)):
        rows.append(row(lang, index, "vanilla", -1, -1, bool(generator.random() < rate)))
        rows += [row(lang, index, "sampled", k, -1, bool(generator.random() < rate))
                 for k in range(8)]  # fmt: skip
        rows += [row(lang, index, "transplant", i, j, bool(generator.random() < rate * (1 + i)))
                 for i, j in pair_set("grid", DEPTH)]  # fmt: skip
    return rows


@pytest.fixture
def table(tmp_path: Path):
    files = RowFiles(tmp_path / "units")
    files.write("a", some_rows())
    return files.join(tmp_path / "rows.parquet")


def test_v9_order_of_the_bounds(table) -> None:
    found = figures(verdicts(table, "strict"), DEPTH)
    upper = found["upper_bound"]["value"]
    for i, j in pair_set("grid", DEPTH):
        cell = found["heat"][i][j]
        assert cell <= found["by_source"][i]["value"] <= upper
        assert cell <= found["by_target"][j]["value"] <= upper
    assert upper <= found["upper_bound_with_vanilla"]["value"]
    column = table.filter(table["target"].to_numpy() <= 0)
    first = figures(verdicts(column, "strict"), DEPTH)
    assert first["upper_bound"]["value"] == found["by_target"][0]["value"]


def test_figures_by_hand() -> None:
    rows = [row("tr", n, "vanilla", -1, -1, n == 2) for n in range(3)]
    right = {(0, 0, 1), (1, 1, 0), (1, 0, 1)}
    rows += [row("tr", n, "transplant", i, j, (n, i, j) in right)
             for n in range(3) for i, j in pair_set("grid", 2)]  # fmt: skip
    import pyarrow as pa

    from franken.inference.xtransplant.rows import SCHEMA

    found = figures(
        verdicts(pa.Table.from_pylist([vars(r) for r in rows], schema=SCHEMA), "strict"), 2
    )
    assert found["heat"] == [[0.0, pytest.approx(2 / 3)], [pytest.approx(1 / 3), 0.0]]
    assert found["upper_bound"]["value"] == pytest.approx(2 / 3)
    assert found["upper_bound_with_vanilla"]["value"] == 1.0
    assert [c["value"] for c in found["by_source"]] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert [c["value"] for c in found["by_target"]] == [pytest.approx(1 / 3), pytest.approx(2 / 3)]
    assert found["by_source"][0]["low"] < 2 / 3 < found["by_source"][0]["high"]
    assert found["mean_rate"]["value"] == pytest.approx(3 / 12)
    assert found["budget"]["2"]["value"] == pytest.approx((0.5 + (1 - 1 / 6)) / 3)
    assert found["right"] == [1, 2, 0]
    assert found["best_pair"] == {"pair": [0, 1], "value": pytest.approx(2 / 3)}


def test_languages_with_pairs_of_their_own_are_no_search(tmp_path: Path) -> None:
    """A sample is not charged with pairs that only other languages ran, nor credited with them."""
    rows = [row("tr", n, "transplant", 3, 0, n < 3) for n in range(4)]
    rows += [row("ka", n, "transplant", 1, 2, n < 1) for n in range(4)]
    files = RowFiles(tmp_path)
    files.write("a", rows)
    found = blocks(files.read(), DEPTH)["topics"]
    overall = found["overall"]["strict"]
    assert (overall["n"], overall["pairs"]) == (8, 1)
    assert overall["upper_bound"]["value"] == overall["mean_rate"]["value"] == 4 / 8
    assert list(overall["budget"]) == ["1"]
    assert overall["budget"]["1"]["value"] == 4 / 8
    assert not {"heat", "best_pair", "by_source", "by_target"} & set(overall)
    assert found["languages"]["ka"]["strict"]["upper_bound"]["value"] == 1 / 4


def test_what_a_judge_cannot_judge_is_left_out(tmp_path: Path) -> None:
    rows = [replace(row("tr", n, "transplant", 0, 0, n == 0), option=None if n > 1 else n == 0)
            for n in range(5)]  # fmt: skip
    # the other language's prompt can be judged where this one's cannot
    rows += [replace(row("tr", n, "pivot", -1, -1, True), option=True) for n in range(5)]
    rows += [row("ka", 0, "transplant", 0, 0, True)]
    files = RowFiles(tmp_path)
    files.write("a", rows)
    both = blocks(files.read(), DEPTH)["topics"]["languages"]
    found = both["tr"]
    assert set(both["ka"]) == {"strict", "lenient"}
    assert (found["strict"]["n"], found["option"]["n"]) == (5, 2)
    assert found["option"]["upper_bound"]["value"] == 1 / 2


def test_samples_that_ended_early_are_no_ground_for_a_choice(table) -> None:
    whole = blocks(table, DEPTH)["topics"]["overall"]["strict"]
    cut = table.slice(0, table.num_rows - 2)
    assert blocks(cut, DEPTH)["topics"]["overall"]["strict"]["pairs"] == whole["pairs"]
    with raises(DataError, "topics", "inference.stop=first_correct", "stop=text"):
        select_pairs(cut, SelectConfig(), DEPTH)


def test_grids_that_stop_at_the_first_right_pair_are_no_ground_for_a_choice(table) -> None:
    """Told by the grid's summary: a wavefront's rows do not show it."""
    check_whole({"step": "grid", "inference": {"stop": "verdict"}, "cut_samples": 0})
    for stop, cut in (("first_correct", 0), ("first_correct", 3), ("text", 1)):
        with raises(DataError, "'grid'", f"inference.stop={stop}", f"{cut} samples"):
            check_whole({"step": "grid", "inference": {"stop": stop}, "cut_samples": cut})
    found = blocks(table, DEPTH, cut=True)
    scores = list(scores_of(found, "grid", "instruct", {"tr": "target", "ka": "target"}, {}))
    assert {s["metric"] for s in scores if s["model"] == "grid"} == {
        "upper_bound", "upper_bound_with_vanilla", "upper_bound_lenient",
        "upper_bound_with_vanilla_lenient", "sampled_bound", "sampled_bound_lenient",
    }  # fmt: skip


def test_v13_budget_curve_from_mean_rate_to_upper_bound(table) -> None:
    found = verdicts(table, "strict")
    right, total = found.pairs.sum(axis=1), len(found.layers)
    curve = [best_of(right, total, k).mean() for k in range(1, total + 1)]
    assert curve[0] == pytest.approx(found.pairs.mean())
    assert curve[-1] == pytest.approx(found.pairs.any(axis=1).mean())
    assert all(b >= a for a, b in itertools.pairwise(curve))
    # against every subset of three pairs
    subsets = itertools.combinations(range(total), 3)
    slow = np.mean([found.pairs[:, list(s)].any(axis=1).mean() for s in subsets])
    assert curve[2] == pytest.approx(slow)
    assert budgets(16) == [1, 2, 4, 8, 16]
    assert budgets(9) == [1, 2, 4, 8, 9]


def one_each(count: int) -> list[str]:
    return [str(at) for at in range(count)]


def test_intervals() -> None:
    # Wilson for 0 of 10: z^2 / (n + z^2) above, 0 below
    low, high = interval(np.zeros(10), one_each(10))
    assert (low, high) == (0.0, pytest.approx(3.8415 / 13.8415, abs=1e-4))
    low, high = interval(np.array([1] * 5 + [0] * 5), one_each(10))
    assert (low, high) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    shares = np.random.default_rng(0).random(400)
    low, high = interval(shares, one_each(400))
    wide = 1.96 * shares.std() / 20
    assert low == pytest.approx(shares.mean() - wide, abs=0.005)
    assert high == pytest.approx(shares.mean() + wide, abs=0.005)


@pytest.mark.parametrize("shares", [False, True])
def test_a_question_in_three_languages_is_one_question(shares) -> None:
    values = np.random.default_rng(0).random(50)
    values = values if shares else values.round()
    once = interval(values, one_each(50))
    thrice = interval(np.tile(values, 3), one_each(50) * 3)
    assert thrice == pytest.approx(once, abs=0.01)  # answered alike, two of them tell nothing
    apart = interval(np.tile(values, 3), one_each(150))
    assert apart[1] - apart[0] < 0.65 * (thrice[1] - thrice[0])


def test_v11_tie_breaks() -> None:
    pairs = pair_set("grid", 3)
    right = [0] * 9
    assert best_pair(pairs, right, TieBreak.paper) == (2, 0)
    right[pairs.index((0, 1))] = right[pairs.index((2, 1))] = right[pairs.index((0, 2))] = 5
    assert best_pair(pairs, right, TieBreak.paper) == (2, 1)
    drawn = {best_pair(pairs, right, TieBreak.random, seed) for seed in range(40)}
    assert drawn == {(0, 1), (2, 1), (0, 2)}


@pytest.mark.parametrize("seed", range(6))
def test_v11_an_overall_pair_in_column_zero_is_the_targetfirst_pair(tmp_path, seed: int) -> None:
    files = RowFiles(tmp_path)
    files.write("a", some_rows(seed, samples=5))
    overall = select_pairs(files.read(), SelectConfig(mode=SelectMode.overall), DEPTH)
    first = select_pairs(files.read(), SelectConfig(mode=SelectMode.targetfirst), DEPTH)
    last = select_pairs(files.read(), SelectConfig(mode=SelectMode.sourcelast), DEPTH)
    for one, other, third in zip(overall, first, last, strict=True):
        assert other["pair"][1] == 0
        assert third["pair"][0] == DEPTH - 1
        assert one["pilot_accuracy"] >= max(other["pilot_accuracy"], third["pilot_accuracy"])
        if one["pair"][1] == 0:
            assert one["pair"] == other["pair"]


def test_selection_scopes_pilot_sizes_and_judges(table) -> None:
    by_language = select_pairs(table, SelectConfig(), DEPTH)
    assert [(e["lang"], e["pilot_n"], e["searched"]) for e in by_language] == [
        ("tr", 12, 4), ("ka", 12, 4)
    ]  # fmt: skip
    (whole,) = select_pairs(
        table, SelectConfig(scope=Scope.task, pilot=5, judge=Judge.lenient), DEPTH
    )
    assert (whole["lang"], whole["pilot_n"]) == ("all", 10)
    assert {key.split("/")[1] for key in whole["pilot_ids"]} == {"tr", "ka"}
    diagonal = table.filter(table["source"].to_numpy() == table["target"].to_numpy())
    lacking = diagonal.filter(diagonal["target"].to_numpy() > 0)
    with raises(DataError, "topics tr", "select.mode=targetfirst", "inference.pairs=grid"):
        select_pairs(lacking, SelectConfig(), DEPTH)
    with raises(DataError, "topics tr", "select.judge=option"):
        select_pairs(table, SelectConfig(judge=Judge.option), DEPTH)
    with raises(DataError, "inference=xtransplant"):
        select_pairs(only(table, run="vanilla"), SelectConfig(), DEPTH)


def test_chosen_pairs_are_kept_from_their_own_pilot() -> None:
    entries = [{"set": "topics", "lang": "tr", "pair": [-1, 0], "pilot_ids": ["topics/tr/1"]},
               {"set": "sums", "lang": "all", "pair": [1, 1]}]  # fmt: skip
    chosen = ChosenPairs(entries, DEPTH, "pairs.json")
    assert chosen.of("topics", "tr") == (3, 0)
    assert chosen.of("sums", "ka") == (1, 1)
    chosen.check_disjoint(["topics/tr/2"])
    with raises(DataError, "1 samples", "topics/tr/1", "pairs.json"):
        chosen.check_disjoint(["topics/tr/2", "topics/tr/1"])
    with raises(DataError, "pairs.json", "topics/ka", "topics/tr"):
        chosen.of("topics", "ka")
    with raises(ArtifactError, "pairs.json", {"set": "topics"}):
        ChosenPairs([{"set": "topics"}], DEPTH, "pairs.json")
    with raises(ArtifactError, "nowhere.json"):
        ChosenPairs.read(Path("nowhere.json"), DEPTH)
    with raises(ConfigError, "inference.pairs", [4, 0], f"{DEPTH} layers"):
        ChosenPairs([{"set": "t", "lang": "tr", "pair": [4, 0]}], DEPTH, "pairs.json")


def test_pair_sets() -> None:
    assert pair_set("targetfirst", 3) == [(0, 0), (1, 0), (2, 0)]
    assert pair_set("sourcelast", 3) == [(2, 0), (2, 1), (2, 2)]
    assert pair_set("diagonal", 2) == [(0, 0), (1, 1)]
    assert len(set(pair_set("grid", 5))) == 25
    assert absolute([[-1, 0], [2, 0], [1, -3]], 3) == [(2, 0), (1, 0)]


def test_rows_are_readable_by_unit_and_as_a_whole(tmp_path: Path, table) -> None:
    files = RowFiles(tmp_path / "units")
    assert files.has("a")
    assert not files.has("b")
    files.write("b", [row("hi", 0, "vanilla", -1, -1, True)])
    assert files.read().num_rows == table.num_rows + 1
    assert only(files.read(), lang="hi")["strict"].to_pylist() == [True]
    assert read_rows(tmp_path / "rows.parquet").equals(table)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 damaged")
    with raises(ArtifactError, tmp_path / "rows.parquet"):
        read_rows(tmp_path / "rows.parquet")


def test_upper_bounds_are_no_accuracies(table) -> None:
    scores = list(
        scores_of(blocks(table, DEPTH), "grid", "instruct", {"tr": "target", "ka": "target"},
                  {"topics/tr": 0.25})
    )  # fmt: skip
    achieved = {s["model"] for s in scores if s["metric"].startswith("acc")}
    assert achieved == {"instruct: vanilla"}
    of_grid = {s["metric"] for s in scores if s["model"] == "grid"}
    assert {"upper_bound", "upper_bound_with_vanilla", "mean_rate", "sampled_bound"} <= of_grid
    one = table.filter((table["source"].to_numpy() < 1) & (table["target"].to_numpy() < 1))
    fixed = list(scores_of(blocks(only(one, run="transplant"), DEPTH), "apply", "instruct",
                           {"tr": "target", "ka": "target"}, {}))  # fmt: skip
    assert {(s["model"], s["metric"]) for s in fixed} == {
        ("apply", "acc"),
        ("apply", "acc_lenient"),
    }
