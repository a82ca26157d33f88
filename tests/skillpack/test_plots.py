"""Score against size, forgetting and backward transfer."""

import json
from dataclasses import replace

import pytest

from franken.errors import DataError
from franken.report import write_report
from franken.report.records import Record
from franken.report.runs import load_groups
from franken.report.size_plots import draw_sizes, finding
from franken.report.sizes import families, learnt_task
from franken.skillpack.__main__ import main
from franken.skillpack.plots import Task, forgetting, forgetting_of, size_points
from tests.faults import raises, unnamed


def record(model, value, *, task="arithmetic", metric="acc_exact", variant="", **extra):
    return Record(
        "e", "graft", model, variant, task, "en", metric, value, 100, 0.02, 0,
        f"{model}/{variant}/{task}", extra,
    )  # fmt: skip


def test_forgetting_and_backward_transfer_by_hand():
    found = forgetting("x", [[0.8, 0.1, 0.0], [0.9, 0.7, 0.1], [0.5, 0.6, 0.9]])
    assert found.forgetting == pytest.approx(((0.9 - 0.5) + (0.7 - 0.6)) / 2)
    assert found.backward_transfer == pytest.approx(((0.5 - 0.8) + (0.6 - 0.7)) / 2)
    assert found.average == pytest.approx(2.0 / 3)
    with raises(DataError, "x", [[0.5, 0.5]]):
        forgetting("x", [[0.5, 0.5]])
    # bits per byte in the second column: shown, but no part of a mean of accuracies
    part = forgetting("x", [[0.8, 9.0], [0.5, 1.2]], [True, False])
    assert (part.average, part.forgetting) == (0.5, pytest.approx(0.3))
    with raises(DataError, "x", "accuracy"):
        forgetting("x", [[9.0, 0.1], [1.2, 0.5]], [False, True])


def test_methods_are_found_by_their_stages():
    tasks = [("arithmetic", "acc_exact"), ("topics", "acc")]
    scores = {
        "sequential_1": (0.9, 0.1), "sequential_2": (0.2, 0.8),
        "anchored_2": (0.6, 0.7), "packs_1": (0.9, 0.1), "packs_2": (0.9, 0.8), "base": (0.0, 0.1),
    }  # fmt: skip
    records = [
        record(model, values[index], task=task, metric=metric)
        for model, values in scores.items()
        for index, (task, metric) in enumerate(tasks)
    ]
    order = [Task(*task, "en") for task in tasks]
    found = {item.method: item for item in forgetting_of(records, order)}
    assert set(found) == {"sequential", "anchored", "packs"}
    assert found["packs"].forgetting == 0.0
    assert found["sequential"].forgetting == pytest.approx(0.7)
    assert found["anchored"].scores[0] == [0.9, 0.1]  # shares the first stage of tuning on


def test_kept_gain_is_a_share_of_what_tuning_gained(tmp_path, capsys):
    records = [
        record("base", 0.1), record("tuned", 0.9),
        record("grafted", 0.5, variant="svd", pack_bytes=1000, pack_ratio=0.2),
        record("grafted", 0.86, variant="module_aware", pack_bytes=500, pack_ratio=0.1),
    ]  # fmt: skip
    small, large = size_points(records, task="arithmetic", metric="acc_exact", lang="en")
    assert (small.policy, small.bytes, large.bytes) == ("module_aware", 500, 1000)
    assert small.recovery == pytest.approx(0.95)
    assert large.recovery == pytest.approx(0.5)
    # three seeds ask the same questions: the error over these is no smaller
    seeds = [replace(r, seed=seed, key=f"{r.key}/{seed}") for r in records for seed in range(3)]
    (same, _) = size_points(seeds, task="arithmetic", metric="acc_exact", lang="en")
    assert same.stderr == pytest.approx(small.stderr) == pytest.approx(0.02 / 0.8)
    file = tmp_path / "results.jsonl"
    file.write_text("".join(r.to_line() + "\n" for r in records))
    assert main(["figures", str(file), "--out", str(tmp_path / "out")]) == 0
    assert "95.0 %" in capsys.readouterr().out
    assert (tmp_path / "out" / "size.png").stat().st_size > 1000
    assert len(json.loads((tmp_path / "out" / "size.json").read_text())) == 2


def packs():
    """Two policies over sizes, one task that was learnt and one that was not."""
    made = [record("base", 0.1), record("tuned", 0.9), record("base", 0.5, task="other"),
            record("tuned", 0.52, task="other")]  # fmt: skip
    for variant, ratio, value in (
        ("svd", 0.3, 0.88), ("svd@0.05", 0.05, 0.2), ("svd@0.1", 0.1, 0.7),
        ("module_aware", 0.08, 0.87), ("module_aware@0.05", 0.05, 0.86), ("bitdelta", 0.13, 0.85),
    ):  # fmt: skip
        size = {"pack_bytes": int(1e6 * ratio), "pack_ratio": ratio}
        made += [record("grafted", value, variant=variant, **size),
                 record("grafted", 0.51, variant=variant, task="other", **size)]  # fmt: skip
    return made


def test_every_policy_is_a_curve_and_the_title_says_what_was_asked(tmp_path):
    records = packs()
    assert learnt_task(records) == ("arithmetic", "acc_exact", "en")
    points = size_points(records, task="arithmetic", metric="acc_exact", lang="en")
    curves = families(points)
    # svd keeps 95 % first at 30 %, bitdelta never; within a curve sizes rise.
    assert list(curves) == ["module_aware", "svd", "bitdelta"]
    assert [p.ratio for p in curves["svd"]] == [0.05, 0.1, 0.3]
    assert points[0].stderr == pytest.approx(0.02 / 0.8)
    assert not unnamed(finding(points), "5.0 %", "95 %", "module_aware@0.05")
    without = [p for p in points if p.family != "module_aware"]
    assert not unnamed(finding(without), "svd@0.1", "75 %", "10.0 %")
    (plot,) = draw_sizes(records, tmp_path)
    assert plot.path.name == "sizes_arithmetic.png"
    assert plot.path.stat().st_size > 10_000


def test_a_report_shows_the_figure(tmp_path):
    file = tmp_path / "results.jsonl"
    file.write_text("".join(r.to_line() + "\n" for r in packs()))
    paths = write_report(load_groups([file]), tmp_path / "report", "packs")
    assert "sizes_arithmetic.png" in {path.name for path in paths.plots}
    assert "module_aware@0.05" in paths.html.read_text()


def test_without_a_learnt_task_there_is_no_figure(tmp_path):
    assert draw_sizes([r for r in packs() if r.task == "other"], tmp_path) == []
    assert draw_sizes([record("base", 0.1), record("tuned", 0.9)], tmp_path) == []


def test_a_gain_within_the_noise_has_no_share():
    records = [
        record("base", 0.50), record("tuned", 0.53),
        record("grafted", 0.53, variant="svd", pack_bytes=1000, pack_ratio=0.2),
    ]  # fmt: skip
    (point,) = size_points(records, task="arithmetic", metric="acc_exact", lang="en")
    assert point.recovery is None
    with raises(DataError, "'tuned'", "arithmetic:acc_exact"):
        size_points(records[:1], task="arithmetic", metric="acc_exact", lang="en")
