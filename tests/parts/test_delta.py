"""LoRA deltas: saved, loaded beside, added up, merged in float32."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.anatomy import anatomy_of
from franken.parts.body import save_body
from franken.parts.delta import (
    activate_adapters,
    apply_delta,
    load_lora,
    merge_lora,
    save_lora,
)
from franken.parts.model import assemble, ref_of
from franken.parts.table import save_table, table_of_checkpoint
from tests.faults import raises
from tests.parts.tiny import logits_of, save_checkpoint, some_ids, tiny_model, tiny_tokenizer


def with_adapter(family="llama", *, seed=1, dtype=torch.float32, inject=False):
    """A model with a random adapter that does something."""
    model = tiny_model(family, rows=100, dtype=dtype)
    targets = sorted(set(anatomy_of(model.config).attention.values()))
    config = LoraConfig(r=2, lora_alpha=8, target_modules=targets, fan_in_fan_out=family == "gpt2")
    adapted = (
        inject_adapter_in_model(config, model) if inject else get_peft_model(model, config)
    ).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return adapted


@pytest.mark.parametrize("inject", [True, False], ids=["injected", "peft_model"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_an_adapter_survives_saving_beside_any_kind_of_model(family, inject, tmp_path):
    adapted = with_adapter(family, inject=inject)
    expected = logits_of(adapted, some_ids(96))
    assert not torch.equal(expected, logits_of(tiny_model(family, rows=100), some_ids(96)))
    save_lora(adapted, tmp_path)

    plain = tiny_model(family, rows=100)
    loaded = load_lora(plain, tmp_path)
    assert loaded is plain
    assert torch.equal(logits_of(loaded, some_ids(96)), expected)
    assert not any(
        parameter.requires_grad for name, parameter in loaded.named_parameters() if "lora_" in name
    )
    theirs = PeftModel.from_pretrained(tiny_model(family, rows=100), str(tmp_path)).eval()
    assert torch.equal(logits_of(theirs, some_ids(96)), expected)


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_merging_adds_scaled_products_of_both_adapters(family, tmp_path):
    for seed in (1, 2):
        save_lora(with_adapter(family, seed=seed), tmp_path / str(seed))
    model = tiny_model(family, rows=100)
    apply_delta(model, tmp_path / "1", name="one")
    apply_delta(model, tmp_path / "2", name="two")
    activate_adapters(model, ["one", "two"])
    beside = logits_of(model, some_ids(96))
    name = anatomy_of(model.config).attention["q"]
    layer = anatomy_of(model.config).layers + ".0"
    before = tiny_model(family, rows=100).get_submodule(f"{layer}.{name}").weight
    change = 0
    for seed in (1, 2):
        module = with_adapter(family, seed=seed, inject=True).get_submodule(f"{layer}.{name}")
        product = 4 * module.lora_B["default"].weight @ module.lora_A["default"].weight
        change = change + (product.T if family == "gpt2" else product)

    merged = merge_lora(model)
    weight = merged.get_submodule(f"{layer}.{name}").weight
    torch.testing.assert_close(weight, before + change, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(logits_of(merged, some_ids(96)), beside, rtol=1e-4, atol=1e-5)
    assert set(merged.state_dict()) == set(tiny_model(family, rows=100).state_dict())
    one_alone = load_lora(tiny_model(family, rows=100), tmp_path / "1")
    assert not torch.allclose(logits_of(one_alone, some_ids(96)), beside)


def test_half_precision_weights_are_merged_in_float32(tmp_path):
    adapted = with_adapter(dtype=torch.bfloat16, inject=True)
    layer = adapted.model.layers[0].self_attn.q_proj
    exact = layer.base_layer.weight.float() + 4 * (
        layer.lora_B["default"].weight.float() @ layer.lora_A["default"].weight.float()
    )
    merged = merge_lora(adapted).model.layers[0].self_attn.q_proj.weight
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged, exact.bfloat16())


def test_merging_takes_the_model_out_of_its_wrapper():
    wrapped = with_adapter()
    expected = logits_of(wrapped, some_ids(96))
    merged = merge_lora(wrapped)
    assert type(merged) is type(tiny_model())
    torch.testing.assert_close(logits_of(merged, some_ids(96)), expected, rtol=1e-4, atol=1e-5)


def test_assembling_applies_deltas_unmerged_or_merged(tmp_path):
    base = save_checkpoint(tiny_model("llama", rows=100), tiny_tokenizer(), tmp_path / "base")
    save_table(table_of_checkpoint(base), tmp_path / "table")
    fingerprint = ref_of(base, tmp_path / "table").fingerprint
    save_lora(with_adapter(), tmp_path / "delta", body=fingerprint)
    ref = ref_of(base, tmp_path / "table", deltas=(tmp_path / "delta",))
    expected = logits_of(with_adapter(), some_ids(96))
    assert torch.equal(logits_of(assemble(ref)[0], some_ids(96)), expected)
    merged, _ = assemble(ref, merge=True)
    assert not any("lora" in name for name in merged.state_dict())
    torch.testing.assert_close(logits_of(merged, some_ids(96)), expected, rtol=1e-4, atol=1e-5)


def test_a_delta_of_another_body_is_refused(tmp_path):
    save_lora(with_adapter(), tmp_path, body="b" * 64)
    with raises(CompatibilityError, tmp_path, "b" * 12, "c" * 12):
        apply_delta(tiny_model(), tmp_path, name="x", body="c" * 64)


def test_an_adapter_for_other_modules_is_refused(tmp_path):
    save_lora(with_adapter("llama"), tmp_path)
    with raises((CompatibilityError, ValueError), "self_attn.q_proj"):
        load_lora(tiny_model("gpt2"), tmp_path)


def test_wrong_or_damaged_deltas_are_named(tmp_path):
    with raises(ArtifactError, tmp_path, "delta.json"):
        apply_delta(tiny_model(), tmp_path, name="x")
    save_lora(with_adapter(), tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with raises(ArtifactError, weights):
        apply_delta(tiny_model(), tmp_path, name="x")
    path = tmp_path / "delta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kind": "sparse"}))
    with raises(ArtifactError, tmp_path, "'sparse'", "lora, adapter, fusion, skillpack"):
        apply_delta(tiny_model(), tmp_path, name="x")


def test_a_body_is_not_saved_with_an_adapter_inside(tmp_path):
    with raises(CompatibilityError, "self_attn.q_proj.lora_A.default.weight", "save_lora"):
        save_body(with_adapter(inject=True), tmp_path)


def test_the_same_adapter_is_written_to_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_lora(with_adapter(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
