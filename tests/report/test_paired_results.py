"""Reports that know the items: clustered errors, intervals, stars, paired tables."""

import json
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scipy import stats

from franken.errors import DataError
from franken.report import read_records, write_report
from franken.report.compare import comparison_tables
from franken.report.records import write_records
from franken.report.results import Results, compared
from franken.report.runs import load_groups
from franken.report.tables import overview, task_table
from franken.run import Runner
from franken.statistics import Units
from franken.statistics.units import UNITS_FILE
from tests.faults import raises, unnamed

ITEMS = 200


def answers(seed, share):
    draw = random.Random(seed)
    return [float(draw.random() < share) for _ in range(ITEMS)]


def with_items(record, right):
    units = Units.of(range(len(right)), right)
    value = sum(right) / len(right)
    return replace(record, value=value, n=len(right), stderr=None, units=units)


@pytest.fixture
def three(make):
    """instruct; franken, better on 12 items; perfect: all right. Two languages of equal answers."""
    base = answers(0, 0.5)
    wrong = [at for at, right in enumerate(base) if not right]
    better = [1.0 if at in wrong[:12] else right for at, right in enumerate(base)]
    sides = {"instruct": base, "franken": better, "perfect": [1.0] * ITEMS}
    return [
        with_items(
            make(model, lang, 0.0, extra={"chance": 0.25, "lang_role": "target", "set_size": 800}),
            right,
        )
        for model, right in sides.items()
        for lang in ("hi", "ka")
    ]


def test_two_languages_of_the_same_items_have_the_error_of_one(three):
    results = Results(three)
    row = results.rows[0]
    one = results.cell(row, "topic", "acc", "hi")
    both = results.mean(row, "topic", "acc")
    assert one.stderr == pytest.approx(stats.sem(answers(0, 0.5)))
    assert both.stderr == pytest.approx(one.stderr)


def test_a_perfect_score_shows_wilsons_interval(three):
    table = overview(Results(three))
    assert table.views[2][0].text == "100.0 [98.1, 100.0]"


def test_stars_and_bold_come_from_pairs(three):
    table = overview(Results(three[:4]))
    texts = [[view.text for view in views] for views in table.views]
    assert texts[1][1] == "+6.0*"
    assert [views[0].best for views in table.views] == [False, True]
    # the unpaired errors would not have seen it
    cells = [Results(three).mean(row, "topic", "acc") for row in Results(three).rows[:2]]
    assert (
        cells[1].value - cells[0].value
        < 1.96 * (cells[0].stderr ** 2 + cells[1].stderr ** 2) ** 0.5
    )


def test_what_a_test_cannot_tell_from_the_best_is_bold_too(three, make):
    right = list(three[2].units.above)
    right[right.index(1.0)] = 0.0
    other = [with_items(replace(r, model="other", key="o"), right) for r in three[2:4]]
    table = overview(Results([*three[:4], *other]))
    assert [views[0].best for views in table.views] == [False, True, True]


def test_the_share_of_the_set_stands_under_the_table(three):
    (note,) = task_table(Results(three), "topic", "acc").notes
    assert "200 of 800" in note
    assert "25 %" in note


def write_run(directory, records):
    write_records(directory / "results.jsonl", records)
    lines = [
        json.dumps({"key": r.key, "task": r.task, "lang": r.lang, "metric": r.metric,
                    **r.units.to_json()}) + "\n"
        for r in records
    ]  # fmt: skip
    (directory / UNITS_FILE).write_text("".join(lines))


@pytest.fixture
def two_runs(three, tmp_path):
    write_run(tmp_path / "before", [replace(r, model="m", key="b") for r in three[:2]])
    write_run(tmp_path / "after", [replace(r, model="m", key="a") for r in three[2:4]])
    return [tmp_path / "before", tmp_path / "after"]


def test_items_are_read_back_beside_the_results(two_runs, three):
    records = read_records(two_runs[0])
    assert [record.units for record in records] == [record.units for record in three[:2]]
    (two_runs[0] / UNITS_FILE).write_text("{}\n")
    with raises(DataError, two_runs[0] / f"{UNITS_FILE}:1", "'key'"):
        read_records(two_runs[0])


def test_runs_are_compared_item_by_item(two_runs):
    table, lines = comparison_tables(load_groups(two_runs))
    assert table.views[0][0].text.startswith("+6.0*")
    by_place = {
        label[-1]: dict(zip(lines.groups[0].columns, views, strict=True))
        for label, views in zip(lines.labels, lines.views, strict=True)
    }
    one = by_place["hi"]
    assert (one["better"].text, one["worse"].text, one["test"].text) == ("12", "0", "McNemar")
    assert one["p"].value == pytest.approx(stats.binomtest(12, 12).pvalue)
    assert one["items"].text == "200"
    assert by_place["targets"]["test"].text == "bootstrap"
    assert by_place["targets"]["items"].text == "200"


def test_more_is_a_loss_where_less_is_better(three, tmp_path):
    lines = {}
    for metric in ("acc", "bits_per_byte"):
        for name, own in (("before", three[:2]), ("after", three[2:4])):
            records = [replace(r, model="m", key=name, metric=metric) for r in own]
            write_run(tmp_path / metric / name, records)
        runs = [tmp_path / metric / name for name in ("before", "after")]
        table, paired = comparison_tables(load_groups(runs))
        place = [label[-1] for label in paired.labels].index("hi")
        lines[metric] = dict(zip(paired.groups[0].columns, paired.views[place], strict=True))
        assert table.views[0][0].best
        assert table.views[0][0].loss == (metric != "acc")
    won = {metric: (one["better"].text, one["worse"].text) for metric, one in lines.items()}
    assert won == {"acc": ("12", "0"), "bits_per_byte": ("0", "12")}
    assert [one["difference"].loss for one in lines.values()] == [False, True]


def test_the_page_holds_the_paired_comparison(two_runs, tmp_path):
    paths = write_report(load_groups(two_runs), tmp_path / "out", "both", compare=True, plots=False)
    for text in (paths.html.read_text(), paths.markdown.read_text()):
        assert not unnamed(text, "after against before", "McNemar")


def test_different_items_fall_back_to_the_errors_of_both_sides(three):
    other = [replace(r, units=Units.of([f"x{i}" for i in range(ITEMS)], r.units.above))
             for r in three[2:3]]  # fmt: skip
    found = compared({0: three[:1]}, {0: other})
    assert found.test == "unpaired"
    assert not found.clear


def test_what_both_runs_share_is_left_out_of_the_lines(three, tmp_path):
    """The base of both runs is one artefact: no item of it differs."""
    shared = [replace(r, model="base", key="k") for r in three[:2]]
    for name, own in (("before", three[:2]), ("after", three[2:4])):
        records = [replace(r, model="m", key=name) for r in own]
        write_run(tmp_path / name, [*shared, *records])
    table, paired = comparison_tables(load_groups([tmp_path / "before", tmp_path / "after"]))
    assert {label[0] for label in table.labels} == {label[1] for label in paired.labels} == {"m"}
    assert any("base" in note for note in table.notes)


def test_the_items_of_a_run_are_those_of_its_evaluations_by_their_keys(tmp_path):
    lines = {}
    for name in ("base", "tuned"):
        units = Units.of(["a", "é {"], [1.0, 0.5]).to_json()
        lines[name] = [{"task": name, "lang": "hi", "metric": metric, **units} for metric in "pq"]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines[name])
        (tmp_path / name).mkdir()
        (tmp_path / name / UNITS_FILE).write_text(text, encoding="utf-8")
    runner = SimpleNamespace(
        artifacts={name: SimpleNamespace(path=tmp_path / name) for name in lines},
        keys={name: SimpleNamespace(key=f"key of {name}") for name in lines},
        run_dir=tmp_path,
    )
    Runner._write_units(runner, ["base", "tuned", "base"])
    written = (tmp_path / UNITS_FILE).read_text(encoding="utf-8").splitlines()
    expected = [{"key": f"key of {name}", **line} for name in lines for line in lines[name]]
    assert written == [json.dumps(line, ensure_ascii=False) for line in expected]
