"""A Hydra LLM from a config to scores and a directory, on both families of tiny bases."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from franken.composition.hydra import HydraComposition, load_hydra
from franken.composition.swap import SwapComposition
from franken.errors import CompatibilityError, ConfigError, DataError
from franken.parts.export import export_model
from franken.parts.table import load_table
from franken.recipe import build_graph
from franken.run import Runner
from franken.steps.base import step_kinds
from franken.steps.common.models import open_hydra_model, open_model, read_places
from franken.steps.hydra import HydraStep
from tests.faults import raises

from .conftest import compose_config

FEW = (
    *(f"eval_suite.tasks.{task}.{key}"
      for task in ("translation", "named_translation", "into_source")
      for key in ("limit=4", "max_new_tokens=6")),
    "eval_suite.tasks.bits_per_byte.limit=4",
)  # fmt: skip
RECIPE = (
    "recipe=hydra_llm", "composition=hydra", "eval_suite=microworld_mt", "vocab=scratch",
    "vocab.size=600", "vocab.include_source=false", "data.languages=[id]",
    "+composition.languages.es=source", "recipe.steps.back_translation.sentences=12",
    "training.repair.body_dtype=bfloat16",
    "recipe.steps.back_translation.max_new_tokens=6", *FEW,
)  # fmt: skip
MODELS = [
    "translator",
    "translator_parft",
    "hydra",
    "hydra_backft",
    "hydra_parft",
    "hydra_parft_noisy",
    "target_model",
]


@pytest.fixture(scope="module")
def runner(shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    config = compose_config(
        f"store.path={shared_store}", *RECIPE, "base_model.settings.num_hidden_layers=3",
        f"recipe.evaluate=[{','.join(MODELS)}]", "recipe.export=[hydra,target_model]",
    )  # fmt: skip
    made = Runner(config, tmp_path_factory.mktemp("hydra_llm"))
    made.run()
    return made


def test_every_model_is_scored_on_every_task(runner: Runner) -> None:
    records = runner.write_results()
    found = {(r["model"], r["task"], r["metric"]) for r in records if r["lang"] == "id"}
    for model in MODELS:
        assert {
            (model, "translation", "chrf"), (model, "translation", "chrf++"),
            (model, "translation", "reference_bits_per_byte"),
            (model, "into_source", "chrf++"), (model, "bits_per_byte", "bits_per_byte"),
        } <= found  # fmt: skip
    (record,) = [
        r
        for r in records
        if (r["model"], r["task"], r["metric"]) == ("hydra", "translation", "chrf")
    ]
    assert record["extra"]["low"] <= record["value"] <= record["extra"]["high"]


def test_a_hydra_is_references_and_training_leaves_the_other_table_alone(runner: Runner) -> None:
    hydra, parft = (read_places(runner.ensure(name)) for name in ("hydra", "hydra_parft"))
    translator, adapted = (read_places(runner.ensure(n)) for n in ("translator", "adapted"))
    assert hydra["tables"] == {"source": translator["table"], "target": adapted["table"]}
    assert hydra["table"] == hydra["tables"]["target"]
    assert {p.name for p in runner.ensure("hydra").path.iterdir()} == {
        "manifest.json",
        "model.json",
    }
    assert parft["tables"]["source"] == translator["table"]
    assert parft["body"] != hydra["body"]
    tables = [
        load_table(open_hydra_model(runner.ensure(name), runner.store).tables["target"])
        for name in ("hydra", "hydra_parft")
    ]
    assert not torch.equal(tables[0].input, tables[1].input)


def test_only_edge_layers_of_the_body_move(runner: Runner) -> None:
    """Although the others were bfloat16 while these trained."""
    from franken.composition.hydra import assemble_hydra

    models = [
        assemble_hydra(open_hydra_model(runner.ensure(name), runner.store)).body
        for name in ("hydra", "hydra_backft")
    ]
    first, second = (dict(model.named_parameters()) for model in models)
    moved = {n.split(".layers.")[1][0] for n, p in first.items()
             if ".layers." in n and not torch.equal(p, second[n])}  # fmt: skip
    assert moved == {"0", "2"}


def test_back_translated_pairs_have_a_genuine_target_side(runner: Runner) -> None:
    folder = runner.ensure("back_translation").path / "pairs"
    pairs = [json.loads(line) for line in (folder / "id.jsonl").read_text().splitlines()]
    from franken.data import open_data

    genuine = open_data(runner.config.data).texts("monolingual", "id")
    known = {next(genuine) for _ in range(12)}
    assert pairs
    assert {pair["target"] for pair in pairs} <= known
    assert all(pair["source"] for pair in pairs)


def test_the_exported_directory_gives_the_same_logits(runner: Runner, tmp_path: Path) -> None:
    from franken.composition.hydra import assemble_hydra

    exported = load_hydra(runner.ensure("export:hydra").path / "model")
    made = assemble_hydra(open_hydra_model(runner.ensure("hydra"), runner.store))
    assert exported.router == made.router
    prompt = [("source", "English : the doctor heals .\nEnglish :"), ("target", " dokter")]
    views = [hydra.view("target", ["source"]) for hydra in (exported, made)]
    ids = torch.tensor([views[0].encode(prompt)])
    assert torch.equal(views[0].logits(ids), views[1].logits(ids))
    card = (runner.ensure("export:hydra").path / "model" / "README.md").read_text()
    assert "`source`" in card
    assert "chrf" in card
    assert (runner.ensure("export:target_model").path / "model" / "config.json").is_file()
    plain = open_model(runner.ensure("target_model"), runner.store)
    export_model(plain, tmp_path / "again", card="")
    assert made.router.by_language("id") == "target"


def test_a_language_joins_an_exported_hydra_and_touches_nothing_else(
    runner: Runner, tmp_path: Path
) -> None:
    first = runner.ensure("export:hydra").path / "model"
    config = compose_config(
        "recipe=hydra_add_language", "composition=hydra", "eval_suite=microworld_mt",
        "vocab=scratch", "vocab.size=600", "vocab.include_source=false", "data.languages=[tr]",
        "composition.default=null", *FEW,
        f"store.path={runner.store.root}", f"recipe.steps.loaded.path={first}",
    )  # fmt: skip
    made = Runner(config, tmp_path)
    made.run()
    second = made.ensure("export:hydra").path / "model"
    old = {p.relative_to(first): p.read_bytes() for p in first.rglob("*") if p.is_file()}
    new = {p.relative_to(second): p.read_bytes() for p in second.rglob("*") if p.is_file()}
    card = Path("README.md")
    assert {p for p in old if old[p] != new.get(p)} <= {card}
    assert {p.parts[:2] for p in new.keys() - old.keys()} == {("tables", "tr")}
    hydra = load_hydra(second)
    assert hydra.router.by_language("tr") == "tr"
    assert hydra.router.by_language("id") == "target"
    loaded = made.ensure("loaded")
    assert read_places(made.ensure("hydra"))["body"] == [loaded.kind, loaded.key, "body"]


def test_a_loaded_hydra_is_keyed_by_its_files(runner: Runner, tmp_path: Path) -> None:
    from franken.steps.common.file_hashes import hydra_hash

    first = runner.ensure("export:hydra").path / "model"
    twin = tmp_path / "twin"
    shutil.copytree(first, twin)
    (twin / "README.md").write_text("another card")
    assert hydra_hash(str(twin)) == hydra_hash(str(first))
    (twin / "tables" / "target" / "route.json").write_text("{}")
    assert hydra_hash(str(twin)) != hydra_hash(str(first))
    with raises(DataError, tmp_path):
        hydra_hash(str(tmp_path))


def test_a_second_run_finds_everything(runner: Runner, tmp_path: Path) -> None:
    again = Runner(runner.config, tmp_path)
    again.run()
    assert again.was_done


@pytest.mark.parametrize(
    ("override", "names"),
    [
        (
            "recipe.steps.hydra.tables={source: translator, target: nowhere}",
            ["recipe.steps.hydra.tables", "'nowhere'"],
        ),
        ("composition.default=tagret", ["composition", "'tagret'", "source, target"]),
        ("composition=swap", ["composition=hydra"]),
        (
            "recipe.steps.hydra_parft.directions=[to_mars]",
            ["recipe.steps.hydra_parft.directions", "to_target, to_source"],
        ),
        ("recipe.steps.hydra_parft.tables=[]", ["recipe.steps.hydra_parft.tables"]),
        ("recipe.steps.hydra_parft.trainable=lora", ["recipe.steps.hydra_parft.trainable", "lora"]),
        (
            "recipe.steps.hydra_parft.tables=[tagret]",
            ["recipe.steps.hydra_parft.tables", "'tagret'", "'target'"],
        ),
        (
            "recipe.steps.translator.tables=[target]",
            ["recipe.steps.translator.tables", "'base'", "'target'", "default"],
        ),
        (
            "recipe.steps.target_model.table=tt",
            ["recipe.steps.target_model.table", "'hydra'", "'tt'", "source, target"],
        ),
        ("recipe.steps.target_model.model=adapted", ["recipe.steps.target_model", "'adapted'"]),
        (
            "eval_suite.tasks.into_source.write=sorce",
            ["eval_suite.tasks.into_source.write", "'sorce'", "'source'"],
        ),
        (
            "+recipe.steps.hydra.tables.tt=hydra_untuned",
            ["recipe.steps.hydra.tables", "'hydra_untuned'", "'tt'"],
        ),
        (
            "recipe.steps.hydra_parft_noisy.mismatched=2",
            ["recipe.steps.hydra_parft_noisy.mismatched", 2],
        ),
    ],
)
def test_faults_are_named_before_any_work(override: str, names: list[Any]) -> None:
    overrides = [o for o in RECIPE if not (override == "composition=swap" and "composition" in o)]
    with raises(ConfigError, *names):
        build_graph(compose_config(*overrides, override, "recipe.evaluate=[hydra_parft]"))


@pytest.mark.parametrize(
    "step",
    [
        {"step": "graft", "model": "hydra_parft", "packs": {"some": "some"}},
        {"step": "route", "model": "hydra", "packs": {"some": "some"}},
        {"step": "train", "model": "hydra"},
        {"step": "swap", "body": "adapted", "table": "hydra"},
        {"step": "initialise", "base": "hydra", "tokenizer": "vocabulary"},
    ],
    ids=lambda step: step["step"],
)
def test_steps_of_one_table_refuse_a_hydra_before_any_work(step: dict[str, Any]) -> None:
    config = compose_config(*RECIPE)
    own = {"data": config.data, "method": config.init_method, "composition": SwapComposition()}
    fields = step_kinds()[step["step"]].__dataclass_fields__
    config.recipe.steps["some"] = {"step": "pack", "base": "base", "tuned": "translator"}
    config.recipe.steps["other"] = {**{k: v for k, v in own.items() if k in fields}, **step}
    with raises(ConfigError, "recipe.steps.other", "Hydra LLM"):
        build_graph(config)
    place = next(k for k, v in step.items() if str(v).startswith("hydra"))
    config.recipe.steps["single"] = {
        "step": "select_table",
        "model": step[place],
        "table": "target",
    }
    config.recipe.steps["other"][place] = "single"
    build_graph(config)


def test_a_hydra_is_never_taken_for_its_default_table(runner: Runner) -> None:
    with raises(CompatibilityError, "source, target", "select_table"):
        open_model(runner.ensure("hydra"), runner.store)


def test_a_table_that_a_loaded_hydra_lacks_is_not_replaced_by_its_default(
    runner: Runner, tmp_path: Path
) -> None:
    exported = runner.ensure("export:hydra").path / "model"
    config = compose_config(f"store.path={runner.store.root}", *RECIPE, "recipe.evaluate=[joined]")
    config.recipe.steps["loaded"] = {"step": "load_hydra", "path": str(exported)}
    config.recipe.steps["joined"] = {
        "step": "hydra", "body": "loaded", "tables": {"source": "loaded", "tt": "loaded"},
        "composition": HydraComposition(languages={"en": "source"}, default=None),
    }  # fmt: skip
    with raises(CompatibilityError, "'loaded'", "'tt'", "source, target"):
        Runner(config, tmp_path).ensure("joined")


def test_a_hydra_without_tables_is_a_fault() -> None:
    composition = HydraComposition()
    (fault,) = HydraStep(body="base", composition=composition).faults()
    assert fault[0] == "tables"
    assert "names no table" in fault[1]


def test_tables_of_another_base_are_refused_before_any_work() -> None:
    config = compose_config(*RECIPE)
    config.recipe.steps["other"] = dict(config.recipe.steps["base"])
    config.recipe.steps["hydra"] = {
        **config.recipe.steps["hydra"],
        "tables": {"source": "other", "target": "adapted"},
    }
    with raises(ConfigError, "'other'", "'base'"):
        build_graph(config)
