"""Franken-Adapter from a config to scores and an exported model, on both families of tiny bases."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from franken.files import read_json
from franken.parts.checkpoint import Checkpoint
from franken.parts.model import assemble
from franken.parts.table import load_table
from franken.run import Runner
from franken.steps.common.models import open_model, read_places
from tests.plain import run_plain

from .conftest import compose_config

FIELDS = {
    "experiment", "recipe", "model", "variant", "task", "lang", "metric", "value", "n", "stderr",
    "seed", "key",
}  # fmt: skip
LLAMA = ("base_model=tiny_llama", "base_model.settings.num_attention_heads=2")
MODELS = ["base", "instruct", "adapted", "franken", "franken_lora"]


@pytest.fixture(scope="module", params=["gemma2", "llama"])
def runner(request: pytest.FixtureRequest, shared_store: Path, tmp_path_factory) -> Runner:
    family = LLAMA if request.param == "llama" else ()
    config = compose_config(
        f"store.path={shared_store}", f"recipe.evaluate=[{','.join(MODELS)}]",
        "recipe.export=[franken]", *family,
    )  # fmt: skip
    made = Runner(config, tmp_path_factory.mktemp(request.param))
    made.run()
    return made


def test_every_score_is_a_complete_record(runner: Runner) -> None:
    records = runner.write_results()
    lines = (runner.run_dir / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == records
    assert all(set(record) >= FIELDS for record in records)
    assert {record["model"] for record in records} == set(MODELS)
    assert {record["task"] for record in records} >= {
        "bits_per_byte",
        "topic_classification",
        "reading_comprehension",
        "arithmetic",
        "translation",
    }
    for record in records:
        if record["metric"].startswith("acc"):
            assert 0.0 <= record["value"] <= 1.0


def test_only_models_with_a_new_vocabulary_carry_the_variant(runner: Runner) -> None:
    variants = {r["model"]: r["variant"] for r in runner.write_results()}
    assert variants["base"] == variants["instruct"] == ""
    assert variants["franken"] == "lexicon"


def test_a_variant_that_names_no_initialiser_is_told_of_every_tuned_model(
    shared_store: Path, tmp_path: Path
) -> None:
    """As in a grid over shares or schedules, which change models of the old vocabulary too."""
    made = Runner(compose_config(f"store.path={shared_store}", "variant=half"), tmp_path)
    assert {name: made._variant(name) for name in ("base", "instruct", "franken")} == {
        "base": "", "instruct": "half", "franken": "half",
    }  # fmt: skip


def test_instruction_tuning_leaves_the_table_and_changes_the_body(runner: Runner) -> None:
    base, instruct = (read_places(runner.ensure(name)) for name in ("base", "instruct"))
    assert instruct["table"] == base["table"]
    assert instruct["body"] != base["body"]
    assert instruct["lineage"] == base["lineage"]
    assert instruct["fingerprint"] != base["fingerprint"]


def test_embedding_tuning_keeps_the_body_and_stores_only_a_table(runner: Runner) -> None:
    base, adapted = (read_places(runner.ensure(name)) for name in ("base", "adapted"))
    assert adapted["body"] == base["body"]
    folder = runner.ensure("adapted").path
    assert not (folder / "body").exists()
    before, after = (
        load_table(runner.ensure("initial").path / "table"),
        load_table(folder / "table"),
    )
    assert not torch.equal(before.input, after.input)
    written, rewritten = (t.input if t.output is None else t.output for t in (before, after))
    # The head gives every row a gradient; untied input rows move only where a token was read.
    assert (written != rewritten).any(dim=1).float().mean() > 0.9


def test_the_swapped_model_is_the_instruct_body_with_the_tuned_table(runner: Runner) -> None:
    places = read_places(runner.ensure("franken"))
    assert places["body"] == read_places(runner.ensure("instruct"))["body"]
    swapped = load_table(open_model(runner.ensure("franken"), runner.store).table)
    tuned = load_table(runner.ensure("adapted").path / "table")
    donor = load_table(open_model(runner.ensure("instruct"), runner.store).table)
    text = tuned.tokenizer("the doctor", add_special_tokens=False)["input_ids"]
    assert torch.equal(swapped.input[text], tuned.input[text])
    eos = tuned.tokenizer.eos_token_id
    assert torch.equal(swapped.input[eos], donor.input[donor.tokenizer.eos_token_id])


def test_swapping_a_models_own_table_back_changes_nothing(runner: Runner, tmp_path: Path) -> None:
    config = runner.config
    steps = dict(config.recipe.steps)
    steps["same"] = {**steps["franken"], "body": "base", "table": "base"}
    config = compose_config(f"store.path={runner.store.root}")
    config.base_model, config.training = runner.config.base_model, runner.config.training
    config.recipe.steps, config.recipe.evaluate = steps, ["same"]
    again = Runner(config, tmp_path)
    ids = torch.tensor([[2, 30, 40, 50]])
    logits = []
    for name in ("base", "same"):
        model, _ = assemble(open_model(again.ensure(name), again.store))
        with torch.no_grad():
            logits.append(model(ids).logits)
    assert torch.equal(*logits)


def test_the_lora_step_stores_only_adapters(runner: Runner) -> None:
    folder = runner.ensure("franken_lora").path
    assert (folder / "delta").is_dir()
    assert not (folder / "body").exists()
    assert not (folder / "table").exists()


def test_lora_beside_the_rows_stores_adapters_and_a_table(runner: Runner, tmp_path: Path) -> None:
    config = compose_config(f"store.path={runner.store.root}")
    config.base_model, config.training = runner.config.base_model, runner.config.training
    steps = dict(runner.config.recipe.steps)
    steps["both"] = {**steps["adapted"], "trainable": "lora_and_embeddings"}
    config.recipe.steps, config.recipe.evaluate = steps, ["both"]
    again = Runner(config, tmp_path)
    made = again.ensure("both")
    assert sorted(p.name for p in made.path.iterdir() if p.is_dir()) == ["delta", "table"]
    assert read_places(made)["body"] == read_places(again.ensure("base"))["body"]
    before = load_table(again.ensure("initial").path / "table")
    assert not torch.equal(load_table(made.path / "table").input, before.input)
    # the delta acts in the model that is read back
    ids = torch.tensor([[2, 30, 40, 50]])
    logits = []
    for deltas in (True, False):
        ref = open_model(made, again.store)
        model, _ = assemble(ref if deltas else replace(ref, deltas=()))
        with torch.no_grad():
            logits.append(model(ids).logits)
    assert not torch.equal(*logits)


def test_the_export_loads_without_franken_with_equal_logits(runner: Runner) -> None:
    exported = runner.ensure("export:franken").path / "model"
    model, tokenizer = assemble(open_model(runner.ensure("franken"), runner.store))
    text = "the doctor heals . ექიმი სკოლაში ."
    with torch.no_grad():
        expected = model(torch.tensor([tokenizer(text)["input_ids"]])).logits
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "path, text = sys.argv[1:]\n"
        "tokenizer = AutoTokenizer.from_pretrained(path)\n"
        "model = AutoModelForCausalLM.from_pretrained(path).eval()\n"
        "ids = tokenizer(text)['input_ids']\n"
        "logits = model(torch.tensor([ids])).logits\n"
        "print(ids, logits.double().sum().item(), logits.double().pow(2).sum().item())"
    )
    printed = run_plain(code, str(exported), text)
    sums = expected.double().sum().item(), expected.double().pow(2).sum().item()
    assert printed.strip() == f"{tokenizer(text)['input_ids']} {sums[0]} {sums[1]}"
    card = (exported / "README.md").read_text()
    assert "franken_adapter" in card
    assert "topic_classification" in card


def test_the_body_of_a_loaded_checkpoint_is_a_copy_without_its_table(
    runner: Runner, tmp_path: Path
) -> None:
    exported = runner.ensure("export:franken").path / "model"
    config = compose_config(
        "base_model=checkpoint", f"base_model.path={exported}", "recipe.evaluate=[base]",
        f"store.path={tmp_path / 'store'}",
        pretrained=False,
    )  # fmt: skip
    loaded = Runner(config, tmp_path / "run").ensure("base")
    body, whole = Checkpoint(loaded.path / "body"), Checkpoint(exported)
    tables = {name for name in whole.names() if whole.anatomy().is_table_tensor(name)}
    assert tables
    assert set(body.names()) == set(whole.names()) - tables
    for name in body.names():
        assert torch.equal(body.tensor(name), whole.tensor(name))
    inodes = {path.stat().st_ino for path in exported.iterdir()}
    assert not inodes & {path.stat().st_ino for path in (loaded.path / "body").iterdir()}


def test_a_second_run_finds_everything(runner: Runner, tmp_path: Path) -> None:
    again = Runner(runner.config, tmp_path)
    again.run()
    assert again.was_done
    assert again.write_results() == runner.write_results()


def test_the_vocabulary_report_lies_beside_the_tokenizer(runner: Runner) -> None:
    report = read_json(runner.ensure("vocabulary").path / "report.json")
    assert report
    assert (runner.ensure("initial").path / "token_map").is_dir()
