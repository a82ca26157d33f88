"""Effects of a grid's factors, against differences of means worked by hand."""

from pathlib import Path

import numpy as np
import pytest

from franken.report.effects import effect_tables, factors_of, least_squares
from franken.report.results import Results
from franken.report.runs import Run


def config(size, method, seed=0, **more):
    return {
        "vocab": {"name": "extension", "added": size},
        "init_method": {"name": method, "noise": 0.5 if method == "mean" else None},
        "seed": seed, "variant": f"{size} {method}", **more,
    }  # fmt: skip


def test_what_varies_is_a_factor_and_a_group_is_one() -> None:
    found = factors_of([config(100, "mean"), config(100, "focus", seed=1), config(200, "mean")])
    assert found == {"vocab.added": ["100", "100", "200"], "init_method": ["mean", "focus", "mean"]}


def test_keys_that_go_together_are_one_factor() -> None:
    configs = [config(100, "mean", training={"lr": lr, "steps": 10 * lr}) for lr in (1, 2, 1)]
    assert factors_of(configs) == {"training.lr": ["1", "2", "1"]}


def test_what_a_recipe_repeats_is_named_by_the_group_that_says_it() -> None:
    configs = [
        {"recipe": {"steps": {"a": {"training": {"steps": n}}, "b": {"keep": kept}}},
         "training": {"steps": n}}
        for n, kept in ((1, 0.1), (2, 0.1), (2, 0.3))
    ]  # fmt: skip
    assert factors_of(configs) == {
        "training.steps": ["1", "2", "2"], "recipe.steps.b.keep": ["0.1", "0.1", "0.3"],
    }  # fmt: skip


def test_a_balanced_grid_gives_differences_of_means_and_their_errors() -> None:
    factors = {"a": ["x", "x", "y", "y"] * 2, "b": ["p", "q"] * 4}
    values = np.array([1.0, 3.0, 2.0, 4.5, 1.2, 3.0, 2.4, 4.1])
    fit = least_squares(factors, values)
    assert fit is not None
    effects, explained = fit
    by = {name: np.array(own) for name, own in factors.items()}
    a = values[by["a"] == "y"].mean() - values[by["a"] == "x"].mean()
    b = values[by["b"] == "q"].mean() - values[by["b"] == "p"].mean()
    fitted = values.mean() + (by["a"] == "y") * a + (by["b"] == "q") * b - (a + b) / 2
    scatter = np.square(values - fitted).sum()
    error = np.sqrt(scatter / (8 - 3) * (1 / 4 + 1 / 4))  # two means of four each
    assert effects["a", "y"] == pytest.approx((a, error))
    assert effects["b", "q"] == pytest.approx((b, error))
    assert explained == pytest.approx(1 - scatter / np.square(values - values.mean()).sum())


def test_without_a_run_to_spare_there_is_no_error_and_aliases_are_not_told_apart() -> None:
    fit = least_squares({"a": ["x", "y", "x"], "b": ["p", "p", "q"]}, np.array([1.0, 2.0, 5.0]))
    assert fit is not None
    assert fit[0] == {
        ("a", "y"): (pytest.approx(1.0), None),
        ("b", "q"): (pytest.approx(4.0), None),
    }
    assert least_squares({"a": ["x", "y"], "b": ["p", "q"]}, np.array([1.0, 2.0])) is None


def test_the_table_leaves_out_what_no_factor_touches(make) -> None:
    runs = []
    for size, method, value in (
        (1, "mean", 0.2),
        (1, "focus", 0.5),
        (2, "mean", 0.3),
        (2, "focus", 0.6),
    ):
        records = [
            make(model, lang, value if model == "franken" else 0.25,
                 variant=f"{size}{method}", key="same" if model == "base" else f"{size}{method}")
            for model in ("base", "franken") for lang in ("en", "hi", "ka")
        ]  # fmt: skip
        runs.append(Run(Path("x"), "x", records, {"config": config(size, method)}))
    (table,) = effect_tables(Results([r for run in runs for r in run.records]), runs)
    assert [group.columns for group in table.groups] == [("franken",)]
    shown = {label: views[0].value for label, views in zip(table.labels, table.views, strict=True)}
    assert shown == {
        ("vocab.added", "1"): 0.0, ("vocab.added", "2"): pytest.approx(10.0),
        ("init_method", "mean"): 0.0, ("init_method", "focus"): pytest.approx(30.0),
    }  # fmt: skip
    one_factor = [run for run in runs if run.info["config"]["vocab"]["added"] == 1]
    assert effect_tables(Results(one_factor[0].records), one_factor) == []
