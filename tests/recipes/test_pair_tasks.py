"""Sentence pairs inside a recipe: an adapter that reads nothing else, under a head of its model."""

from pathlib import Path

import pytest

from franken.files import read_json
from franken.run import Runner
from franken.steps.common.key_parts import pair_key
from franken.steps.common.models import read_places

from .conftest import compose_config

# base and head are those of test_encoder_tasks
QUICK = [
    "+experiment=neighbours/tada", "training.skill.steps=3", "training.skill.batch_size=4",
    "training.skill.sequence_length=48", "training.skill.lr=5e-4", "data.evaluation=8",
    "training.paired.steps=4", "training.paired.sequence_length=48", "pair_loss.batch_size=4",
    "data.languages=[ka]", "pair_loss.most=10", "pair_loss.every=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory) -> Runner:
    return Runner(
        compose_config(f"store.path={shared_store}", *QUICK), tmp_path_factory.mktemp("pairs")
    )


def test_an_adapter_learns_from_pairs_alone_under_the_head_of_its_model(run: Runner) -> None:
    made, topics = (read_places(run.ensure(name)) for name in ("topics_behind_pairs", "topics"))
    assert (made["head"], made["body"]) == (topics["head"], topics["body"])
    assert len(made["deltas"]) == 1
    report = read_json(run.ensure("pair_adapter").path / "training.json")
    assert report["bytes"] == 0 < report["tokens"]  # pairs, and no text
    assert [point["tada"] > 0 for point in report["curve"]] == [True] * 4


def test_only_what_reads_pairs_has_them_in_its_key(run: Runner) -> None:
    step = run.graph.steps["pair_adapter"]
    assert pair_key(None, step.data) == {}
    assert set(step.key(run.config)) - set(run.graph.steps["text_adapter"].key(run.config)) == {
        "pair_loss", "pairs",
    }  # fmt: skip
