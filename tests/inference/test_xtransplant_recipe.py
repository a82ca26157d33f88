"""Recipes that run transplants: targets, faults, keys; and the report of what they leave."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from franken.cli import show
from franken.recipe import build_graph, graph_faults
from franken.report import write_report
from franken.report.runs import load_groups, load_runs
from franken.report.transplant_differences import difference_table
from franken.report.transplant_plots import draw_transplants, layer_cells
from franken.report.transplant_summaries import Transplant, transplants_of
from franken.report.transplants import CAUTION, transplant_notes, transplant_tables
from franken.resampling import best_of, bootstrap_mean
from franken.steps.common.keys import step_key
from franken.store import Store
from tests.composing import compose_config
from tests.faults import unnamed

CONF = Path(__file__).parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment/xtransplant").glob("*.yaml"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_have_sound_graphs(name: str) -> None:
    config = compose_config(f"+experiment=xtransplant/{name}")
    graph = build_graph(config)
    assert graph.targets == config.recipe.run
    assert {graph.steps[step].kind for step in graph.runs} == {"transplant"}
    needed = set(graph.needed())
    assert ("franken" in needed) == (name == "after_surgery")
    assert ("chosen" in needed) == (name in ("select", "apply", "after_surgery", "culture"))


def test_the_culture_preset_asks_what_its_data_tell() -> None:
    config = compose_config("+experiment=xtransplant/culture")
    assert config.data.customs > 0
    assert {one.source for one in config.prompts.sets.values()} == {"customs"}
    assert config.inference.direction == "x2en"
    assert config.prompts.pilot > 1, "shuffled donors need two samples"


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("recipe.run=[gird]", ("recipe.run", "'gird'", "'grid'")),
        ("recipe.run=[instruct]", ("recipe.run", "'instruct'")),
        ("recipe.steps.chosen.grid=instruct", ("recipe.steps.chosen.grid", "'instruct'", "model")),
        ("inference=none", ("pairs", "inference=xtransplant")),
    ],
)
def test_faulty_recipes(override: str, named: tuple[str, ...]) -> None:
    faults = graph_faults(compose_config("+experiment=xtransplant/apply", override))
    assert any(not unnamed(str(fault), *named) for fault in faults), faults


def keys_of(*overrides: str) -> dict[str, str]:
    config = compose_config("+experiment=xtransplant/pilot", *overrides)
    graph, keys = build_graph(config), {}
    for name, step in graph.steps.items():
        inputs = {place: keys[ref] for place, ref in step.references().items()}
        keys[name] = step_key(step, inputs, config)
    return {name: key.key for name, key in keys.items()}


def test_what_enters_the_key_of_a_grid() -> None:
    plain = keys_of()
    chosen = keys_of("inference.select.mode=overall", "inference.max_rows=7")
    assert chosen["grid"] == plain["grid"]
    for change in (
        "inference.engine=cache", "inference.site=attn_out", "prompts.pilot=7",
    ):  # fmt: skip
        assert keys_of(change)["grid"] != plain["grid"], change
    assert chosen["chosen"] != plain["chosen"]
    assert chosen["apply"] != plain["apply"]
    assert len({plain[name] for name in ("grid", "self", "shuffled", "noise")}) == 4


def figures(right: list[int], pairs: int = 4) -> dict[str, Any]:
    share = {"value": 0.5, "low": 0.2, "high": 0.8}
    cells = [[0.25, None], [0.5, 0.0]] if pairs > 1 else None
    found: dict[str, Any] = {
        "n": len(right), "pairs": pairs, "right": right, "ids": [str(n) for n in range(len(right))],
        "plain": {"vanilla": share}, "upper_bound": share, "upper_bound_with_vanilla": share,
        "mean_rate": share, "budget": {"1": share, "2": share, "4": share},
    }  # fmt: skip
    if cells:
        found |= {"heat": cells, "by_source": [share, share], "by_target": [share, None],
                  "best_pair": {"pair": [1, 0], "value": 0.5},
                  "sampled": {"1": share, "2": share}}  # fmt: skip
    return found


def leave_run(directory: Path) -> None:
    record = {
        "experiment": "x", "recipe": "xtransplant", "model": "grid", "variant": "",
        "task": "topics", "lang": "tr", "metric": "upper_bound", "value": 0.5, "n": 4,
        "stderr": 0.1, "seed": 0, "key": "k",
    }  # fmt: skip
    (directory / "transplants").mkdir(parents=True)
    (directory / "results.jsonl").write_text(json.dumps(record) + "\n")
    config = {"recipe": {"run": ["grid", "control"]}}
    (directory / "run.json").write_text(json.dumps({"experiment": "x", "config": config}))
    defect = {
        "set": "topics",
        "lang": "tr",
        "message": "2 of 9 rows are not aligned",
        "drops": True,
    }
    for step, donor, right in (("grid", "translation", [3, 1, 2, 0]),
                               ("control", "shuffled", [0, 0, 1, 0])):  # fmt: skip
        strict = {"strict": figures(right)}
        (directory / "transplants" / f"{step}.json").write_text(json.dumps({
            "step": step, "model": "instruct", "depth": 2, "portion": "pilot",
            "inference": {"donor": donor, "samples": len(step)}, "unstable_rows": 3, "truncated": 0,
            "cut_samples": 0, "defects": [defect],
            "sets": {"topics": {"languages": {"tr": strict}, "overall": strict}},
        }))  # fmt: skip
    (directory / "transplants" / "grid.progress.json").write_text('{"done": 1}')


def test_the_console_tells_what_limits_a_grid_as_the_page_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_run(tmp_path / "run")
    monkeypatch.setattr(show, "write_report", lambda *_, **__: SimpleNamespace(html="page"))
    store = Store(tmp_path / "store")
    show.show_report([tmp_path / "run"], tmp_path, "x", command="y", store=store)
    notes = transplant_notes(transplants_of(load_runs([tmp_path / "run"])))
    doubts = [f"! {note}" for note in notes if note not in CAUTION]
    assert doubts
    assert [line for line in capsys.readouterr().out.splitlines() if line in doubts] == doubts


def test_a_heat_map_has_the_layers_of_its_pairs() -> None:
    heat = [[0.25, None, 0.5], [None, None, None], [None, None, 1.0]]
    sources, targets, cells = layer_cells(heat)
    assert (sources, targets) == ([0, 2], [0, 2])
    assert cells[0] == [25.0, 50.0]
    assert cells[1][0] != cells[1][0]  # a pair that was not run
    assert cells[1][1] == 100.0


def test_the_report_shows_bounds_controls_and_cautions(tmp_path: Path) -> None:
    leave_run(tmp_path / "run")
    paths = write_report(load_groups([tmp_path / "run"]), tmp_path / "report", "x")
    page, text = paths.html.read_text(), paths.markdown.read_text()
    found = transplants_of(load_runs([tmp_path / "run"]))
    assert [transplant.label for transplant in found] == ["grid", "control"]
    assert all(caution in text for caution in CAUTION)
    assert not unnamed(text, "topics tr: 2 of 9", "grid: 3")
    drawn = {path.name for path in paths.plots}
    assert {"transplant_heat_grid.png", "transplant_curves_grid.png",
            "transplant_heat_control.png", "transplant_budget_topics.png"} <= drawn  # fmt: skip
    assert page.count("data:image/png;base64,") >= 5
    main, controls, *_ = transplant_tables(found)
    assert main.labels == [("grid", "topics"), ("control", "topics")]
    assert "50.0 [20, 80]" in [view.text for view in main.views[0]]
    assert controls.views[0][0].text == "shuffled"
    assert controls.views[0][1].text == "+50.0"
    assert transplant_notes(found)


def test_notes_say_what_limits_the_figures() -> None:
    defect = {"set": "topics", "lang": "tr", "message": "2 of 9 rows are not aligned",
              "drops": True}  # fmt: skip
    content = {
        "step": "grid", "sets": {}, "inference": {"verify": 0, "engine": "wavefront"},
        "defects": [defect], "dropped": False, "unstable_below": 0.5, "unstable_rows": 0,
        "truncated": 1, "truncated_baselines": {"vanilla": 0, "pim": 4}, "cut_samples": 3,
    }  # fmt: skip
    text = "\n".join(transplant_notes([Transplant("grid", content)]))
    kept, unchecked = "prompts.defects=keep", "inference.verify=0"
    assert not unnamed(text, unchecked, 0.5, "topics tr: 2 of 9", kept, "grid: 4", "PIM")
    assert "vanilla" not in text
    uncut = transplant_notes([Transplant("grid", {**content, "cut_samples": 0})])
    assert len(text.splitlines()) == len(uncut) + 1
    checked = {**content, "inference": {"verify": 4}, "dropped": True}
    text = "\n".join(transplant_notes([Transplant("grid", checked)]))
    assert unnamed(text, unchecked, kept) == [unchecked, kept]
    assert not unnamed(text, "topics tr: 2 of 9")


def test_a_search_that_ended_early_is_no_fixed_pair() -> None:
    share = {"value": 0.5, "low": 0.2, "high": 0.8}
    cut = {"strict": {"n": 2, "pairs": 1, "cut": True, "right": [1, 0], "ids": ["0", "1"],
                      "plain": {"vanilla": share}, "plain_right": {"vanilla": [0, 0]},
                      "upper_bound": share, "draws": 1, "sampled_right": [0, 0],
                      "sampled": {"1": share}}}  # fmt: skip
    sets = {"topics": {"languages": {"tr": cut}, "overall": cut}}
    grid = Transplant("grid", {"step": "grid", "sets": sets, "inference": {}})
    main, by_language = transplant_tables([grid])
    assert main.views[0][5].text == "50.0 [20, 80]"
    assert any("strict" in figure for name, figure in by_language.labels if name == "topics")


def test_a_pair_per_language_is_no_search(tmp_path: Path) -> None:
    one, both = ({"strict": figures(right, pairs=1)} for right in ([1, 0], [1, 0, 0, 1]))
    sets = {"topics": {"languages": {"tr": one, "ka": one}, "overall": both}}
    apply = Transplant("apply", {"step": "apply", "sets": sets, "inference": {}, "defects": [],
                                 "unstable_rows": 0, "truncated": 0, "cut_samples": 0})  # fmt: skip
    ((views,), *_) = (table.views for table in transplant_tables([apply]))
    shown = [view.text for view in views]
    empty = "–"
    assert shown[:3] == ["50.0 [20, 80]", empty, empty]
    assert shown[3:6] == [empty, empty, "the pair: 50.0 [20, 80]"]
    assert set(shown[6:]) == {empty}
    assert not transplant_notes([apply])
    assert not draw_transplants([apply], tmp_path)


def test_paired_differences() -> None:
    assert bootstrap_mean([0.0] * 4) == (0.0, 0.0, 0.0)
    value, low, high = bootstrap_mean([1.0, 0.0] * 25)
    assert value == 0.5
    # binomial spread of a share of one half over 50 samples: 0.14 on either side
    assert low == pytest.approx(0.36, abs=0.03)
    assert high == pytest.approx(0.64, abs=0.03)
    assert best_of(1, 4, 1) == 0.25
    assert best_of(1, 4, 4) == 1.0
    assert best_of(2, 4, 2) == pytest.approx(1 - 1 / 6)
    assert best_of(0, 4, 3) == 0.0


def test_what_is_compared_with_what() -> None:
    """Controls and sampled answers for a search, plain prompts for one pair, models with models."""

    def made(step: str, model: str, donor: str, right: list[int], pairs: int = 4) -> Transplant:
        entry = {"languages": {}, "overall": {"strict": figures(right, pairs) | {
            "plain_right": {"vanilla": [0, 0, 1, 0]}, "draws": 2, "sampled_right": [1, 0, 0, 0],
        }}}  # fmt: skip
        inference = {"donor": donor, "samples": len(step)}
        return Transplant(step, {"step": step, "model": model, "portion": "pilot",
                                 "inference": inference, "sets": {"topics": entry}})  # fmt: skip

    runs = [
        made("grid", "instruct", "translation", [3, 1, 2, 0]),
        made("self", "instruct", "self", [0, 0, 1, 0]),
        made("franken_grid", "franken", "translation", [4, 4, 4, 4]),
        made("apply", "instruct", "translation", [1, 1, 0, 0], pairs=1),
    ]
    table = difference_table(runs)
    assert table is not None
    shown = {(label[0], row[0].text): row[1].value for label, row in
             zip(table.labels, table.views, strict=True)}  # fmt: skip
    assert shown == {
        # best of 2 of 4 pairs: (1 + 1/2 + 5/6 + 0) / 4; of 2 draws: 1/4
        ("grid", "2 sampled answers"): pytest.approx((1 + 1 / 2 + 5 / 6) / 4 - 1 / 4),
        ("grid", "self"): pytest.approx(0.5),
        ("grid", "franken_grid"): pytest.approx(-0.25),
        ("self", "2 sampled answers"): pytest.approx((1 / 2) / 4 - 1 / 4),
        ("franken_grid", "2 sampled answers"): pytest.approx(1 - 1 / 4),
        ("franken_grid", "grid"): pytest.approx(0.25),
        ("apply", "vanilla"): pytest.approx(0.25),
    }
