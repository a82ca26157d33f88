"""SkillPack recipes from a config to scores, on a tiny world."""

from pathlib import Path

import pytest
import torch

from franken.errors import CompatibilityError
from franken.files import read_json
from franken.parts.skillpack import SkillPack
from franken.recipe import graph_faults
from franken.run import Runner
from tests.faults import raises, unnamed

from .conftest import compose_config, weights_of

QUICK = [
    "training.skill.steps=4", "training.skill.batch_size=4", "training.skill.sequence_length=64",
    "training.easy_skill.steps=4", "training.easy_skill.batch_size=4",
    "training.easy_skill.sequence_length=64", "training.anchored.steps=4",
    "training.anchored.batch_size=4", "training.anchored.sequence_length=64",
    "router.examples=24", "router.epochs=3",
    "pack.quant.calibration_records=8",
    "data.languages=[id]", "eval_suite.tasks.bits_per_byte.limit=4",
]  # fmt: skip


def runner(store: Path, run_dir: Path, *overrides: str) -> Runner:
    return Runner(compose_config(f"store.path={store}", *QUICK, *overrides), run_dir)


@pytest.fixture(scope="module")
def graft(shared_store: Path, tmp_path_factory) -> Runner:
    made = runner(
        shared_store, tmp_path_factory.mktemp("graft"), "recipe=graft", "pack=dense",
        "+recipe.steps.tuned_body={step: train, model: base, trainable: body, "
        "data: '${data}', split: arithmetic, training: '${training.skill}'}",
        "+recipe.steps.body_skill={step: pack, base: base, tuned: tuned_body, pack: '${pack}'}",
        "+recipe.steps.both={step: graft, model: base, packs: {a: skill, b: body_skill}}",
        "+recipe.steps.halves={step: graft, model: base, packs: {a: skill}, weights: {a: 0.5}}",
        "+recipe.steps.on_tuned={step: graft, model: tuned, packs: {a: skill}}",
    )  # fmt: skip
    made.run()
    return made


def test_the_exact_pack_on_the_base_is_the_tuned_model_to_the_last_bit(graft: Runner) -> None:
    tuned, grafted = weights_of(graft, "tuned"), weights_of(graft, "grafted")
    assert all(torch.equal(tuned[name], grafted[name]) for name in tuned)
    scores = {n: read_json(graft.artifacts[f"evaluate:{n}"].path / "scores.json")
              for n in ("tuned", "grafted")}  # fmt: skip
    assert [s["value"] for s in scores["tuned"]] == [s["value"] for s in scores["grafted"]]
    assert not (graft.ensure("grafted").path / "body").exists()  # a reference, not a copy


def test_records_carry_the_size_of_the_pack_and_the_variant(graft: Runner) -> None:
    pack = SkillPack(graft.ensure("skill").path / "pack")
    records = [r for r in graft.write_results() if r["model"] == "grafted"]
    assert {r["extra"]["pack_bytes"] for r in records} == {pack.bytes_count}
    assert {r["variant"] for r in records} == {graft.config.variant}


def test_packs_add_up_and_scale(graft: Runner) -> None:
    base, first, second = (weights_of(graft, name) for name in ("base", "tuned", "tuned_body"))
    both, half = weights_of(graft, "both"), weights_of(graft, "halves")
    for name in base:
        total = first[name] + second[name] - base[name]
        torch.testing.assert_close(both[name], total, rtol=1e-4, atol=1e-6)
        middle = (base[name] + first[name]) / 2
        torch.testing.assert_close(half[name], middle, rtol=1e-4, atol=1e-6)


def test_a_pack_on_another_body_is_refused(graft: Runner) -> None:
    with raises(CompatibilityError, "'on_tuned'"):
        graft.ensure("on_tuned")


def test_several_packs_with_a_router(shared_store: Path, tmp_path: Path) -> None:
    skills = runner(
        shared_store, tmp_path, "recipe=graft_skills",
        "recipe.evaluate=[arithmetic,topics,oracle,routed]",
    )  # fmt: skip
    skills.run()
    values = {}
    for record in skills.write_results():
        values[record["model"], record["task"], record["lang"], record["metric"]] = record["value"]
    for task, model in (("arithmetic", "arithmetic"), ("topic_classification", "topics")):
        alone = {k[1:]: v for k, v in values.items() if k[:2] == (model, task)}
        oracle = {k[1:]: v for k, v in values.items() if k[:2] == ("oracle", task)}
        assert alone == oracle  # to the last digit
    report = read_json(skills.ensure("routed").path / "graft.json")
    assert len(report["packs"]) == 3
    assert 0 <= report["router"]["accuracy"] <= 1


def test_without_a_router_the_packs_change_nothing(shared_store: Path, tmp_path: Path) -> None:
    quick = [text for text in QUICK if not text.startswith("router.")]
    overrides = ["recipe=graft_skills", "router=none", "recipe.evaluate=[base,routed]"]
    plain = Runner(compose_config(f"store.path={shared_store}", *quick, *overrides), tmp_path)
    plain.run()
    scores = {
        model: [(r["task"], r["lang"], r["metric"], r["value"]) for r in plain.write_results()
                if r["model"] == model]
        for model in ("base", "routed")
    }  # fmt: skip
    assert scores["base"]
    assert scores["base"] == scores["routed"]


def test_ewc_measures_what_was_learnt_before(shared_store: Path, tmp_path: Path) -> None:
    options = ["recipe=graft_continual", "recipe.evaluate=[ewc_3]", "training.ewc.steps=3",
               "training.ewc.batch_size=4", "training.ewc.sequence_length=64"]  # fmt: skip
    learnt, free = (
        runner(shared_store, tmp_path / name, *options, f"training.ewc.anchor={anchor}",
               f"training.ewc.anchor_examples={examples}")
        for name, anchor, examples in (("ewc", 1e4, 3), ("free", 0.0, 0))
    )  # fmt: skip
    learnt.run()
    assert learnt.keys["ewc_2"].key != free.keys["ewc_2"].key
    held, moved = weights_of(learnt, "ewc_2"), weights_of(free, "ewc_2")
    start = weights_of(learnt, "sequential_1")
    distances = [
        sum(float((found[n] - start[n]).square().sum()) for n in start) for found in (held, moved)
    ]
    assert 0 < distances[0] < distances[1]


def test_skills_learnt_in_a_row_are_not_forgotten(shared_store: Path, tmp_path: Path) -> None:
    learnt = runner(
        shared_store, tmp_path, "recipe=graft_continual", "router=classifier",
        "recipe.evaluate=[base,packs_1,packs_2,packs_3,lora_2,average_2,arithmetic_alone,"
        "topics_alone,language_alone]",
        *(f"+recipe.steps.{name}_alone={{step: graft, model: base, packs: {{p: pack_{at}}}}}"
          for at, name in ((1, "arithmetic"), (2, "topics"), (3, "language"))),
    )  # fmt: skip
    learnt.run()
    kept = [
        [(r["lang"], r["metric"], r["value"]) for r in learnt.write_results()
         if r["model"] == f"packs_{stage}" and r["task"] == "arithmetic"]
        for stage in (1, 2, 3)
    ]  # fmt: skip
    assert kept[0]
    assert kept[0] == kept[1] == kept[2]  # nothing is forgotten
    for stage, packs in ((1, ["arithmetic"]), (2, ["arithmetic", "topics"]),
                         (3, ["arithmetic", "topics", "language"])):  # fmt: skip
        answering = {
            ("arithmetic", "en"): "arithmetic", ("topic_classification", "en"): "topics",
            ("topic_classification", "id"): "topics", ("bits_per_byte", "id"): "language",
        }  # fmt: skip
        values = scores_of(learnt, f"packs_{stage}")
        assert set(answering) | {("bits_per_byte", "en")} <= set(values)
        for request, value in values.items():
            pack = answering.get(request)
            alone = f"{pack}_alone" if pack in packs else "base"
            assert value == scores_of(learnt, alone)[request], (stage, request)


def scores_of(run: Runner, model: str) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Metrics of a model by task and language."""
    found: dict[tuple[str, str], list[tuple[str, float]]] = {}
    for record in run.write_results():
        if record["model"] == model:
            key = record["task"], record["lang"]
            found.setdefault(key, []).append((record["metric"], record["value"]))
    return found


def test_a_language_pack_goes_on_the_instruct_model(shared_store: Path, tmp_path: Path) -> None:
    run = runner(
        shared_store, tmp_path, "recipe=language_pack", "pack=dense", "vocab.size=1000",
        "recipe.evaluate=[relative]",
    )  # fmt: skip
    run.run()
    adapted, back = weights_of(run, "adapted_full"), weights_of(run, "on_base")
    for name in adapted:
        if "embed_tokens" in name or "lm_head" in name:
            text = slice(300, 800)
            torch.testing.assert_close(back[name][text], adapted[name][text], rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(back[name], adapted[name], rtol=1e-5, atol=1e-6)
    relative, instruct, base = (weights_of(run, n) for n in ("relative", "instruct", "base"))
    name = "model.layers.0.mlp.up_proj.weight"
    expected = instruct[name] + adapted[name] - base[name]
    torch.testing.assert_close(relative[name], expected, rtol=1e-4, atol=1e-6)


def test_wrong_recipes_are_refused_before_anything_runs() -> None:
    config = compose_config(
        "recipe=graft", "recipe.steps.grafted.packs={skill: tuned}",
        "+recipe.steps.grafted.weights={other: 2.0}",
    )  # fmt: skip
    found = "\n".join(map(str, graph_faults(config)))
    assert not unnamed(found, "recipe.steps.grafted.weights.other", "skill")
    config = compose_config("recipe=graft", "recipe.steps.grafted.packs={skill: tuned}")
    found = "\n".join(map(str, graph_faults(config)))
    assert not unnamed(found, "recipe.steps.grafted.packs", "'tuned'", "model", "pack")
