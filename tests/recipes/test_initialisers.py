"""Initialisers that read text or train, as steps of a recipe."""

import json
from pathlib import Path

import pytest

from franken.explain import main as explain
from franken.run import Runner
from tests.recipes.conftest import compose_config

QUICK = {
    "span_align": ["init_method.megabytes=0.02"],
    "retok": ["init_method.training.steps=4", "init_method.training.batch_size=4"],
    "vocadt": ["init_method.training.steps=4", "init_method.training.batch_size=4"],
    "token_distillation": ["init_method.snippets=1"],
}


def run(method: str, store: Path, tmp_path: Path, *overrides: str) -> Runner:
    config = compose_config(f"init_method={method}", f"store.path={store}", *overrides)
    runner = Runner(config, tmp_path / "run")
    runner.ensure("initial")
    return runner


@pytest.mark.parametrize("method", QUICK)
def test_a_method_runs_as_a_step_and_is_found_again(method, shared_store, tmp_path, capsys):
    first = run(method, shared_store, tmp_path, *QUICK[method])
    artifact = first.artifacts["initial"]
    report = json.loads((artifact.path / "report.json").read_text(encoding="utf-8"))
    assert report["method"] == method
    assert report["counts"]["computed"] > 0
    if method == "span_align":
        assert report["texts"]["read"] > 0
        assert report["from_text"] > 0
    else:
        assert report["trained"]["steps"] > 0
    assert explain([str(artifact.path), "--worst", "1"]) == 0
    assert "least supported" in capsys.readouterr().out

    again = run(method, shared_store, tmp_path, *QUICK[method])
    assert again.outcomes["initial"].cached
    if method == "retok":
        other = run(method, shared_store, tmp_path, *QUICK[method], "init_method.training.lr=0.5")
        assert other.keys["initial"].key != first.keys["initial"].key
        resumable = [*QUICK[method], "init_method.training.checkpoint_every=3"]
        same = run(method, shared_store, tmp_path, *resumable)
        assert same.keys["initial"].key == first.keys["initial"].key


def test_rows_from_a_file_go_through_a_recipe(shared_store, tmp_path):
    base = run("vocadt", shared_store, tmp_path, *QUICK["vocadt"])
    table = base.artifacts["initial"].path / "table" / "table.safetensors"
    again = run("from_file", shared_store, tmp_path, f"init_method.path={table}")
    found = again.artifacts["initial"].path / "table" / "table.safetensors"
    assert found.read_bytes() == table.read_bytes()


@pytest.mark.parametrize("method", ["gold_alignment", "mean", "trans_tokenization"])
def test_the_distance_to_the_true_links_is_in_the_manifest_and_the_summary(
    method, shared_store, tmp_path
):
    runner = run(method, shared_store, tmp_path)
    [entry] = runner.summary()["initialisations"]
    assert entry["gold"]["rows"] > 20
    low, high = {"mean": (-1e-6, 1e-6), "gold_alignment": (0.99999, 1)}.get(method, (0.3, 0.999))
    assert low <= entry["gold"]["cosine"] <= high + 1e-6
