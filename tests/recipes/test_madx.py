"""Language and task adapters from a config to scores, on a tiny world."""

from pathlib import Path

import pytest
import torch

from franken.errors import CompatibilityError
from franken.parts.adapter_files import load_adapter
from franken.parts.bottleneck import adapter_names
from franken.parts.model import assemble
from franken.run import Runner
from franken.steps.common.models import open_model, read_places
from tests.faults import raises

from .conftest import compose_config

QUICK = [
    "+experiment=neighbours/madx", "training.skill.steps=4", "training.skill.batch_size=4",
    "training.skill.checkpoint_every=2", "data.languages=[id]", "data.evaluation=8",
    "eval_suite.tasks.bits_per_byte.limit=4", "recipe.evaluate=[base,swapped]",
    "training.adaptation.adapter.leave_out=[-1]",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory) -> Runner:
    config = compose_config(f"store.path={shared_store}", *QUICK)
    made = Runner(config, tmp_path_factory.mktemp("madx"))
    made.run()
    return made


def delta_of(run: Runner, name: str) -> Path:
    return run.ensure(name).path / "delta"


def test_a_task_is_trained_over_a_languages_adapter_that_stays(run: Runner) -> None:
    places = read_places(run.ensure("source_task"))
    language = read_places(run.ensure("source_language"))["deltas"]
    assert places["deltas"][:-1] == language
    assert places["body"] == read_places(run.ensure("base"))["body"]


def test_the_swap_is_the_base_with_the_other_languages_adapter_below_the_tasks(run: Runner) -> None:
    swapped, _ = assemble(open_model(run.ensure("swapped"), run.store))
    assert len(adapter_names(swapped)) == 2
    by_hand, _ = assemble(open_model(run.ensure("base"), run.store))
    load_adapter(by_hand, delta_of(run, "target_language"), name="language")
    load_adapter(by_hand, delta_of(run, "source_task"), name="task")
    kept, _ = assemble(open_model(run.ensure("source_task"), run.store))
    ids = torch.arange(5, 25).reshape(2, 10)
    assert torch.equal(swapped(ids).logits, by_hand(ids).logits)
    assert not torch.equal(swapped(ids).logits, kept(ids).logits)


def test_adapters_are_not_taken_up_by_weights(run: Runner) -> None:
    with raises(CompatibilityError, "deltas", "LoRA"):
        assemble(open_model(run.ensure("swapped"), run.store), merge=True)
