from pathlib import Path

from franken.report.initialisation import initialisation_table
from franken.report.runs import Run


def _run(variant: str, key: str, copied: int, peak: float | None = 3e6) -> Run:
    rows = {"special": 4, "copied": copied, "computed": 20 - copied, "fallback": 1, "padding": 0}
    entry = {"step": "initial", "key": key, "variant": variant, "method": variant, "rows": rows,
             "seconds": 0.126, "peak": peak}  # fmt: skip
    return Run(Path("x"), variant, [], {"initialisations": [entry]})


def test_a_row_per_method_and_none_per_seed():
    runs = [_run("focus", "a", 7), _run("mean", "b", 9, None), _run("focus", "c", 7)]
    table = initialisation_table(runs)
    assert table is not None
    assert table.labels == [("focus", "focus"), ("mean", "mean")]
    texts = [[view.text for view in views] for views in table.views]
    assert texts[0] == ["4", "7", "13", "0", "1", "0", "0.13", "3"]
    assert texts[1] == ["4", "9", "11", "0", "1", "0", "0.13", "–"]


def test_the_distance_to_gold_is_a_column_where_any_run_has_it():
    runs = [_run("focus", "a", 7), _run("gold_alignment", "b", 9), _run("old", "c", 9)]
    for run, cosine in zip(runs, (0.25, 1.0, None), strict=True):
        gold = None if cosine is None else {"rows": 5, "cosine": cosine, "found": cosine / 2}
        run.info["initialisations"][0]["gold"] = gold
    table = initialisation_table(runs)
    assert table is not None
    assert table.groups[-1].columns == ("cosine", "found %")
    assert [[view.text for view in views[-2:]] for views in table.views] == [
        ["0.250", "12.5"], ["1.000", "50.0"], ["–", "–"],
    ]  # fmt: skip
    assert "true word links" in table.notes[-1]


def test_runs_without_a_new_table_have_none():
    assert initialisation_table([Run(Path("x"), "flan", [], {})]) is None
