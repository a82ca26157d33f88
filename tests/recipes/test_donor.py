"""A ready tuning of the base takes the place of the one that a recipe would make."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from franken.cli.check import config_faults
from franken.errors import CompatibilityError
from franken.recipe import build_graph
from franken.recipe_checkpoints import checkpoint_faults
from franken.run import Runner
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer

from .conftest import compose_config

UNTRAINED = ("vocab=extension", "vocab.added=20", "init_method=mean", "recipe.evaluate=[]")


def keys_at_fault(config: Any) -> list[str]:
    return [fault.key for fault in config_faults(config) or checkpoint_faults(config)]


def config_with(base: Path, donor: Path, store: Path, *more: str) -> Any:
    return compose_config(
        "recipe=franken_adapter", "base_model=checkpoint", f"base_model.path={base}",
        f"donor.path={donor}", f"store.path={store}", "recipe.export=[franken_untuned]",
        *UNTRAINED, *more, pretrained=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(
        tiny_model("llama", rows=96), tiny_tokenizer(), tmp_path_factory.mktemp("base") / "it"
    )


def tuned(directory: Path, *, tied: bool = True) -> Path:
    """The same shape with other weights; it ends turns as well as texts."""
    model, tokenizer = tiny_model("llama", rows=96, tied=tied), tiny_tokenizer()
    with torch.no_grad():
        for weight in model.model.layers.parameters():
            weight.mul_(1.5)
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end_of_turn>")]
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=0)
    return save_checkpoint(model, tokenizer, directory)


def test_the_donors_body_and_its_ends_are_exported_under_the_new_vocabulary(
    base: Path, tmp_path: Path
) -> None:
    config = config_with(base, tuned(tmp_path / "donor"), tmp_path / "store")
    assert keys_at_fault(config) == []
    graph = build_graph(config)
    assert graph.steps["instruct"].references() == {"relative_of": "base"}
    runner = Runner(config, tmp_path / "run")
    runner.run()
    exported = runner.ensure("export:franken_untuned").path / "model"
    donor = AutoModelForCausalLM.from_pretrained(tmp_path / "donor")
    model = AutoModelForCausalLM.from_pretrained(exported)
    for name, weight in donor.model.layers.named_parameters():
        assert torch.equal(model.model.layers.get_parameter(name), weight)
    names = model.generation_config
    tokens = json.loads((exported / "tokenizer.json").read_text())["added_tokens"]
    strings = {token["id"]: token["content"] for token in tokens}
    assert [strings[index] for index in names.eos_token_id] == ["<eos>", "<end_of_turn>"]
    assert strings[names.pad_token_id] == "<pad>"


def test_an_untied_donor_of_a_tied_base_is_refused_before_anything_runs(
    base: Path, tmp_path: Path
) -> None:
    donor = tuned(tmp_path / "donor", tied=False)
    config = config_with(base, donor, tmp_path / "store")
    assert keys_at_fault(config) == ["donor.path"]
    with raises(
        CompatibilityError, "composition.special_rows=from_adapted"
    ):  # where the look was not taken
        Runner(config, tmp_path / "run").ensure("instruct")
    other = config_with(base, donor, tmp_path / "store", "composition.special_rows=from_adapted")
    assert keys_at_fault(other) == []


def test_a_recipe_without_a_place_for_a_donor_says_so(base: Path, tmp_path: Path) -> None:
    config = config_with(base, base, tmp_path / "store", "recipe=salt", "recipe.export=[initial]")
    assert keys_at_fault(config) == ["donor.path"]


@pytest.mark.parametrize("option", ["base_model.path", "donor.path"])
@pytest.mark.parametrize(
    "settings",
    [{"quantization_config": {"quant_method": "gptq"}}, {"model_type": "of_tomorrow"},
     {"model_type": "t5"}],
    ids=["quantised", "unknown", "no_causal_family"],
)  # fmt: skip
def test_checkpoints_that_cannot_be_worked_on_are_refused_before_the_run(
    base: Path, tmp_path: Path, settings: dict[str, Any], option: str
) -> None:
    broken = tuned(tmp_path / "broken")
    described = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(described | settings))
    pair = (broken, base) if option == "base_model.path" else (base, broken)
    assert option in keys_at_fault(config_with(*pair, tmp_path / "store"))


def test_what_a_step_needs_of_the_family_is_asked_for(tmp_path: Path) -> None:
    """Layers that keep no key-value cache take tables, but no grids."""
    directory = save_checkpoint(tiny_model("gpt2", rows=96), tiny_tokenizer(), tmp_path / "it")
    described = json.loads((directory / "config.json").read_text())
    kinds = {"layer_types": ["linear_attention", "full_attention"]}
    (directory / "config.json").write_text(json.dumps(described | kinds))
    chosen = ("base_model=checkpoint", f"base_model.path={directory}", "recipe=xtransplant")
    grid = compose_config(*chosen, "inference=xtransplant", pretrained=False)
    assert keys_at_fault(grid) == ["base_model.path"]


def test_a_directory_without_a_tokenizer_is_refused_before_the_run(tmp_path: Path) -> None:
    bare = tuned(tmp_path / "bare")
    for path in (*bare.glob("tokenizer*"), *bare.glob("chat_template*")):
        path.unlink()
    assert keys_at_fault(config_with(bare, bare, tmp_path / "store")) == [
        "base_model.path", "donor.path"
    ]  # fmt: skip


def test_a_donor_of_another_shape_is_refused_before_the_run(base: Path, tmp_path: Path) -> None:
    other = save_checkpoint(tiny_model("gpt2", rows=96), tiny_tokenizer(), tmp_path / "other")
    assert keys_at_fault(config_with(base, other, tmp_path / "store")) == ["donor.path"]


def test_a_chat_form_without_a_template_is_refused_before_the_run(tmp_path: Path) -> None:
    bare = tuned(tmp_path / "bare")
    with_one = tuned(tmp_path / "with")
    for directory in (bare, with_one):
        described = json.loads((directory / "tokenizer_config.json").read_text())
        described.pop("chat_template", None)
        (directory / "tokenizer_config.json").write_text(json.dumps(described))
        (directory / "chat_template.jinja").unlink(missing_ok=True)
    (with_one / "chat_template.jinja").write_text("{{ messages }}")
    for directory, keys in ((bare, ["data.chat"]), (with_one, [])):
        config = config_with(directory, directory, tmp_path / "store", "data.chat=on")
        assert keys_at_fault(config) == keys
