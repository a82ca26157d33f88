"""``python -m franken.skillpack`` and the LoRA export (graftllm notes, invariant 20)."""

import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from franken.config.pack import ClassRule, PackConfig
from franken.parts.checkpoint import Checkpoint
from franken.parts.skillpack import SkillPack
from franken.skillpack import pack_difference
from franken.skillpack.__main__ import main
from franken.skillpack.peft_export import export_peft
from tests.faults import unnamed
from tests.parts.tiny import logits_of, save_checkpoint, some_ids, tiny_model
from tests.skillpack.pairs import checkpoints, policy, stored, tuned_copy


@pytest.fixture
def made(tmp_path):
    base, tuned = checkpoints(tmp_path)
    command = ["pack", str(base), str(tuned), str(tmp_path / "p"), "pack=dense", "--name", "sums"]
    assert main([*command, "--licence", "CC-BY"]) == 0
    return tmp_path


def test_pack_apply_and_verify_bring_the_tuned_model_back(made, capsys):
    base, out = str(made / "base"), str(made / "out")
    assert main(["verify", str(made / "p"), "--base", base]) == 0
    assert main(["apply", base, out, str(made / "p")]) == 0
    result, tuned = Checkpoint(made / "out"), Checkpoint(made / "tuned")
    assert all(torch.equal(result.tensor(n), tuned.tensor(n)) for n in tuned.names())
    AutoModelForCausalLM.from_pretrained(out)
    assert (made / "out" / "tokenizer.json").exists()
    assert "fine" in capsys.readouterr().out


def test_inspect_prints_what_the_manifest_says(made, capsys):
    assert main(["inspect", str(made / "p")]) == 0
    text = capsys.readouterr().out
    assert f"sums: {SkillPack(made / 'p').bytes_count} bytes on disk" in text
    assert main(["inspect", "--json", str(made / "p")]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["licence"] == "CC-BY"
    assert manifest["policy"]["name"] == "dense"


def test_inspect_shows_the_measured_excess_of_the_svd(made, capsys):
    base, tuned = str(made / "base"), str(made / "tuned")
    options = ["pack=phlora", "pack.classes.attn.rank=3", "pack.classes.mlp.rank=3"]
    options += [f"pack.svd.{text}" for text in ("method=randomized", "power=0", "oversample=0")]
    shown = {}
    for excess in ("true", "false"):
        place = str(made / excess)
        command = ["pack", base, tuned, place, *options, f"pack.svd.measure_excess={excess}"]
        assert main(command) == 0
        capsys.readouterr()
        assert main(["inspect", place]) == 0
        shown[excess] = capsys.readouterr().out
    measured = [i["excess"] for i in SkillPack(made / "true").tensors.values() if "excess" in i]
    assert measured
    for excess in measured:
        assert f"SVD {100 * excess:.3f} % above" in " ".join(shown["true"].split())
    assert "above the best" not in shown["false"]


def test_unpack_writes_the_plain_difference(made):
    assert main(["unpack", str(made / "p"), str(made / "d.safetensors")]) == 0
    base, tuned = stored(made / "base"), stored(made / "tuned")
    for name, delta in load_file(made / "d.safetensors").items():
        torch.testing.assert_close(
            delta, tuned.tensor(name) - base.tensor(name), rtol=1e-4, atol=1e-8
        )


def test_diff_tells_equal_packs_from_others(made, capsys):
    base, tuned = str(made / "base"), str(made / "tuned")
    assert main(["pack", base, tuned, str(made / "same"), "pack=dense"]) == 0
    assert main(["pack", base, tuned, str(made / "other"), "pack=bitdelta"]) == 0
    assert main(["diff", str(made / "p"), str(made / "same")]) == 0
    assert main(["diff", str(made / "p"), str(made / "other")]) == 1


def test_weights_scale_the_change(made):
    base, out = str(made / "base"), str(made / "half")
    assert main(["apply", base, out, str(made / "p"), "--weights", "0.5"]) == 0
    found, before, after = (Checkpoint(made / d) for d in ("half", "base", "tuned"))
    for name in before.names():
        expected = (before.tensor(name) + after.tensor(name)) / 2
        torch.testing.assert_close(found.tensor(name), expected, rtol=1e-5, atol=1e-6)


def test_wrong_requests_say_what_is_wrong(made, capsys):
    base = str(made / "base")
    for command, message in (
        (["pack", base, base, str(made / "p")], "exists already"),
        (["pack", base, base, str(made / "x"), "pack=nothing"], "nothing"),
        (["pack", base, base, str(made / "x"), "lr=3"], "no override of pack"),
        (["pack", base, base, str(made / "x"), "pack.svd.methd=full"], "'method'"),
        (["pack", base, base, str(made / "x"), "+pack.bits=4"], "pack.bits"),
        (["pack", base, base, str(made / "x"), "pack.quant.group=1"], "at least 2"),
        (["pack", base, base, str(made / "x"), "pack.quant.method=gptq"], "calibrates on text"),
        (["inspect", base], "is no SkillPack"),
        (["apply", str(made / "tuned"), str(made / "x"), str(made / "p")], "another base"),
    ):
        assert main(command) == 2, command
        assert message in capsys.readouterr().err
    assert main(["verify", str(made / "p"), "--base", str(made / "tuned")]) == 1


def test_places_and_files_that_cannot_be_used_are_named(made, capsys):
    base, tuned, pack = (str(made / name) for name in ("base", "tuned", "p"))
    (made / "file").write_text("in the way")
    for command in (
        ["pack", base, tuned, str(made / "file" / "x"), "pack=dense"],
        ["apply", base, str(made / "file" / "x"), pack],
        ["unpack", pack, str(made / "file" / "x.safetensors")],
    ):
        assert main(command) == 2, command
        assert "file" in capsys.readouterr().err
    for weights in ("nan", "inf"):
        assert main(["apply", base, str(made / "x"), pack, "--weights", weights]) == 2
        assert not unnamed(capsys.readouterr().err, weights)
    (made / "base" / "config.json").write_text("{broken")
    assert main(["pack", base, tuned, str(made / "x")]) == 2
    assert not unnamed(capsys.readouterr().err, made / "base" / "config.json")
    assert not (made / "x").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["dense", "phlora", "module_aware", "prune", "bitdelta"])
def test_models_with_values_that_are_no_numbers_are_refused(tmp_path, capsys, name, value):
    model = tiny_model()
    tuned = tuned_copy(model)
    save_checkpoint(model, None, tmp_path / "base")
    with torch.no_grad():
        tuned.model.layers[1].mlp.up_proj.weight[3, 2] = value
        tuned.model.norm.weight[1] = value if name == "phlora" else 1.0  # skipped there
    save_checkpoint(tuned, None, tmp_path / "tuned")
    pair = [str(tmp_path / "base"), str(tmp_path / "tuned")]
    for command in ([*pair], [*reversed(pair)]):
        assert main(["pack", *command, str(tmp_path / "p"), f"pack={name}"]) == 2
        said = capsys.readouterr().err
        owner = "tuned model" if command[1].endswith("tuned") else "base"
        assert not unnamed(said, owner, "'model.layers.1.mlp.up_proj.weight'")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("name", ["phlora", "module_aware"])
def test_peft_loads_the_export_and_gives_what_the_pack_gives(tmp_path, name):
    pair = checkpoints(tmp_path, tied=False, only="_proj")
    pack = pack_difference(
        *map(stored, pair), policy(name, "pack.schedule_width=null"), tmp_path / "p", name="p"
    )
    left_out = export_peft(pack, tmp_path / "lora")
    base = AutoModelForCausalLM.from_pretrained(pair[0])
    adapted = PeftModel.from_pretrained(base, tmp_path / "lora")
    merged = adapted.merge_and_unload()
    expected = stored(pair[0])
    for tensor, weight in merged.named_parameters():
        if tensor in pack.tensors and "_proj" in tensor:
            torch.testing.assert_close(
                weight.detach(), expected.tensor(tensor) + pack.delta(tensor), rtol=1e-5, atol=1e-6
            )
    assert all("_proj" not in tensor for tensor in left_out)
    assert logits_of(merged, some_ids(96)).isfinite().all()


# it ties them all the same: findings/peft_tied_rows.sh
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("only", ["", "embed"], ids=["lora-and-rows", "rows-alone"])
def test_peft_takes_rows_of_the_tables_with_the_base(tmp_path, tied, only):
    pair = checkpoints(tmp_path, tied=tied, only=only or "weight")
    rules = {"table": ClassRule(match="table", op="dense", bits=0),
             "low": ClassRule(match="attention|mlp", op="lowrank", rank=4),
             "rest": ClassRule(op="skip")}  # fmt: skip
    pack = pack_difference(*map(stored, pair), PackConfig(classes=rules), tmp_path / "p", name="p")
    left_out = export_peft(pack, tmp_path / "lora", base=pair[0])
    assert not [name for name in left_out if "embed" in name or "lm_head" in name]
    base = AutoModelForCausalLM.from_pretrained(pair[0])
    adapted = PeftModel.from_pretrained(base, tmp_path / "lora")
    ids = some_ids(96)
    logits = logits_of(adapted, ids)
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(logits_of(merged, ids), logits, rtol=1e-3, atol=1e-4)
    tuned = stored(pair[1])
    for name, weight in merged.named_parameters():
        if "embed" in name or (name == "lm_head.weight" and not only):
            assert torch.equal(weight.detach(), tuned.tensor(name))


def test_peft_takes_other_rows_of_either_table(tmp_path):
    pair = checkpoints(tmp_path, tied=False, only="nothing")
    tuned = AutoModelForCausalLM.from_pretrained(pair[1])
    with torch.no_grad():
        tuned.get_input_embeddings().weight[[3, 5]] += 0.1
        tuned.get_output_embeddings().weight[[5, 8, 9]] += 0.1
    tuned.save_pretrained(pair[1])
    rules = {"table": ClassRule(match="table", op="dense", bits=0), "rest": ClassRule(op="skip")}
    pack = pack_difference(*map(stored, pair), PackConfig(classes=rules), tmp_path / "p", name="p")
    export_peft(pack, tmp_path / "rows", base=pair[0])
    base = AutoModelForCausalLM.from_pretrained(pair[0])
    merged = PeftModel.from_pretrained(base, tmp_path / "rows").merge_and_unload()
    for name, weight in merged.named_parameters():
        assert torch.equal(weight.detach(), stored(pair[1]).tensor(name)), name


def test_peft_takes_layers_stored_input_first_and_no_table(tmp_path):
    pair = checkpoints(tmp_path, "gpt2", tied=True)
    one = PackConfig(
        classes={"all": ClassRule(match="attention|mlp|table", op="lowrank", rank=6),
                 "rest": ClassRule(op="skip")}
    )  # fmt: skip
    pack = pack_difference(*map(stored, pair), one, tmp_path / "p", name="p")
    left_out = export_peft(pack, tmp_path / "lora")
    assert {"transformer.wte.weight", "transformer.wpe.weight"} <= set(left_out)
    base = AutoModelForCausalLM.from_pretrained(pair[0])
    merged = PeftModel.from_pretrained(base, tmp_path / "lora").merge_and_unload()
    before, changed = stored(pair[0]), 0
    for tensor, weight in merged.named_parameters():
        expected = before.tensor(tensor)
        if tensor not in left_out:
            expected, changed = expected + pack.delta(tensor), changed + 1
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6)
    assert changed == 4 * base.config.num_hidden_layers
