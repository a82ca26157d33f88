"""Sparse differences of a language and a task from a config to scores, on a tiny world."""

from pathlib import Path

import pytest
import torch

from franken.parts.model import assemble
from franken.parts.skillpack import SkillPack
from franken.run import Runner
from franken.steps.common.models import open_model

from .conftest import compose_config

QUICK = [
    "+experiment=neighbours/lt_sft", "training.skill.steps=4", "training.skill.batch_size=4",
    "training.skill.checkpoint_every=2", "data.languages=[id]", "data.evaluation=8",
    "eval_suite.tasks.bits_per_byte.limit=4", "recipe.evaluate=[base,composed]",
    "recipe.steps.task_phi.share=0.05", "+recipe.steps.source_phi.bits=32",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory) -> Runner:
    config = compose_config(f"store.path={shared_store}", *QUICK)
    made = Runner(config, tmp_path_factory.mktemp("lt_sft"))
    made.run()
    return made


def weights(run: Runner, name: str) -> dict[str, torch.Tensor]:
    model, _ = assemble(open_model(run.ensure(name), run.store))
    return {key: p.detach().clone() for key, p in model.named_parameters()}


def pack(run: Runner, name: str) -> SkillPack:
    return SkillPack(run.ensure(name).path / "pack")


def test_the_asked_share_of_the_weights_moves_and_norms_are_kept(run: Runner) -> None:
    base = weights(run, "base")
    table = {"model.embed_tokens.weight", "lm_head.weight"}
    free = {n: w.numel() for n, w in base.items() if n not in table and "norm" not in n}
    for name, share in (("source_phi", 0.08), ("task_phi", 0.05), ("target_random_phi", 0.08)):
        found = pack(run, name)
        assert set(found.tensors) == set(free)
        assert set(found.manifest["skipped"]) == set(base) - set(free)
        moved = sum(item.get("nnz", 0) for item in found.tensors.values())
        wanted = round(share * sum(free.values()))
        assert 0.95 * wanted <= moved <= wanted  # changes near 0 are left out


def test_the_lottery_looks_at_what_the_full_tuning_moved(run: Runner) -> None:
    start, tuned = weights(run, "base"), weights(run, "source_full")
    found = pack(run, "source_phi")
    moved = {name: (tuned[name] - start[name]).abs() for name in found.names()}
    chosen = {name: found.delta(name) != 0 for name in moved}
    inside = torch.cat([moved[name][chosen[name]] for name in moved])
    outside = torch.cat([moved[name][~chosen[name]] for name in moved])
    share = len(inside) / (len(inside) + len(outside))
    assert 0.07 < share < 0.081
    assert inside.min() >= outside.kthvalue(int(0.98 * len(outside))).values


def test_differences_add_up_in_any_order_and_the_task_is_said_of_the_base(run: Runner) -> None:
    base, composed = weights(run, "base"), weights(run, "composed")
    language, task = pack(run, "target_phi"), pack(run, "task_phi")
    assert language.body == task.body == open_model(run.ensure("base"), run.store).fingerprint
    for name in base:
        expected = base[name].clone()
        for one in (task, language):
            if name in one.tensors:
                expected += one.delta(name)
        torch.testing.assert_close(composed[name], expected, rtol=1e-6, atol=1e-7)
