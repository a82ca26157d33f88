"""AdapterFusion from a config to scores, on a tiny world."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from franken.errors import CompatibilityError
from franken.parts.fusion import fusions
from franken.parts.model import assemble
from franken.run import Runner
from franken.steps.common.models import open_model, read_places
from tests.faults import raises

from .conftest import compose_config

QUICK = [
    "+experiment=neighbours/adapter_fusion", "training.skill.steps=3", "training.repair.steps=3",
    "training.skill.batch_size=4", "training.skill.sequence_length=48",
    "~eval_suite.tasks.pseudo_bits_per_byte", "~eval_suite.tasks.parts_of_speech",
    "eval_suite.tasks.topics.languages=[id]", "recipe.steps.target_adapter.texts=6",
    "recipe.steps.fused_own.texts=6", "recipe.evaluate=[fused_own]", "data.languages=[id]",
    "data.evaluation=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory) -> Runner:
    config = compose_config(f"store.path={shared_store}", *QUICK)
    made = Runner(config, tmp_path_factory.mktemp("fusion"))
    made.run()
    return made


def test_attention_is_learnt_over_an_adapter_that_stays_as_it_was(run: Runner) -> None:
    untrained, trained = (run.ensure(name) for name in ("over_own", "fused_own"))
    assert len(read_places(trained)["deltas"]) == 1
    of = {name: run.ensure(name).path / "delta" for name in ("target_adapter", "fused_own")}
    inside = load_file(of["fused_own"] / "adapters" / "target" / "adapter.safetensors")
    alone = load_file(of["target_adapter"] / "adapter.safetensors")
    assert all(torch.equal(inside[name], alone[name]) for name in alone)
    before, after = (
        fusions(assemble(open_model(made, run.store))[0])[0] for made in (untrained, trained)
    )
    # over one adapter softmax is 1 whatever is asked
    assert torch.equal(before.query.weight, after.query.weight)
    assert not torch.equal(before.value.weight, after.value.weight)
    scores = run.write_results()
    assert {(score["task"], score["lang"]) for score in scores} == {("topics", "id")}


def test_what_is_no_adapter_is_not_fused(run: Runner) -> None:
    run.graph.steps["over_own"].adapters["target"] = "base"
    with raises(CompatibilityError, "base", "adapter"):
        run.graph.steps["over_own"].run(run_context(run))


def run_context(run: Runner):
    """The context of a step by hand, with the base in the adapter's place."""
    from types import SimpleNamespace

    base = run.ensure("base")
    return SimpleNamespace(
        name="over_own", store=run.store, inputs={"model": base, "adapters.target": base}
    )
