"""The SALT recipe from a config to scores, and its experiments as composed."""

from pathlib import Path

import pytest
import torch

from franken.files import read_json
from franken.init_method import Provenance
from franken.init_method.salt import Selector, SelectorKind
from franken.parts.table import load_table
from franken.run import Runner
from franken.token_map.storage import load_map

from .conftest import compose_config

OPTIONS = (
    "recipe=salt", "init_method=salt", "vocab=scratch", "vocab.size=700",
    "vocab.include_source=false", "recipe.evaluate=[initial,adapted]", "eval_suite=smoke",
    "helper_model.steps=4", "helper_model.hidden_size=16", "helper_model.heads=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def runner(shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    config = compose_config(*OPTIONS, f"store.path={shared_store}")
    made = Runner(config, tmp_path_factory.mktemp("salt"))
    made.run()
    return made


def test_the_recipe_scores_the_mapped_and_the_tuned_model(runner: Runner) -> None:
    records = runner.write_results()
    assert {record["model"] for record in records} == {"initial", "adapted"}
    assert {record["variant"] for record in records} == {"salt"}


def test_only_the_resources_that_the_method_needs_are_made(runner: Runner) -> None:
    made = set(runner.artifacts)
    assert {"helper", "word_vectors"} <= made
    assert not {"alignment", "piece_vectors"} & made


def test_the_helper_has_a_row_per_target_token_and_a_width_of_its_own(runner: Runner) -> None:
    helper = load_table(runner.ensure("helper").path / "table")
    initial = load_table(runner.ensure("initial").path / "table")
    assert helper.rows == initial.rows
    assert (helper.hidden_size, initial.hidden_size) == (16, 32)
    assert helper.lineage != initial.lineage


def test_the_run_report_tells_what_the_fit_was_like(runner: Runner) -> None:
    folder = runner.ensure("initial").path
    report = read_json(folder / "report.json")
    assert report["method"] == "salt"
    assert set(report) >= {"shared_by_mode", "anchors", "aux", "weights", "row_lengths", "head"}
    token_map = load_map(folder / "token_map")
    counts = token_map.counts()
    assert counts["copied"] > 0
    assert counts["computed"] == report["weights"][0]["tokens"] > 0
    computed = token_map.provenance == Provenance.computed
    rows = load_table(folder / "table").input[computed]
    assert bool(torch.isfinite(rows).all())
    assert bool((rows != 0).any(dim=1).all())


@pytest.mark.parametrize(
    "name",
    ["main", "ablate_init", "ablate_overlap", "ablate_neighbours", "ablate_aux", "ablate_solver"],
)
def test_an_experiment_composes_and_asks_for_no_english(name: str) -> None:
    config = compose_config(f"+experiment=salt/{name}", pretrained=False)
    mixture = config.data.mixtures["adaptation"]
    assert mixture.source_share == 0
    assert mixture.source_share == mixture.shares["parallel"] == 0
    assert config.recipe.name == "salt"
    assert config.experiment == f"salt/{name}"


def test_the_grid_of_neighbours_changes_the_selector_as_a_whole() -> None:
    config = compose_config(
        "+experiment=salt/ablate_neighbours", "init_method.selector={kind:topk,k:10}"
    )
    assert config.variant == "topk_10"
    assert config.init_method.selector == Selector(SelectorKind.topk, k=10)
