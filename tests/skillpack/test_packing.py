"""Packs of whole models (graftllm notes, invariants 1, 2, 12, 16, 17, 19) and their damage."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from franken.config.pack import ClassRule, PackConfig
from franken.errors import ArtifactError, CompatibilityError, ConfigError
from franken.parts.checkpoint import Checkpoint
from franken.parts.skillpack import PAYLOAD_FILE, SkillPack, check_base, sealed
from franken.parts.weights import LoadedWeights
from franken.skillpack import pack_difference
from franken.skillpack.apply import apply_to_checkpoint
from franken.skillpack.policy import make_plans, predicted_bytes, schedule_columns
from tests.faults import raises, unnamed
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer
from tests.skillpack.pairs import checkpoints, exact_policy, policy, stored, tuned_copy

POLICIES = [
    "module_aware", "module_aware_energy", "delta_come", "svd", "svd_quantised", "phlora", "prune",
    "dare", "bitdelta", "sign_plus_lowrank", "dqrelo", "ultradelta", "dense", "dense_bf16",
]  # fmt: skip


@pytest.fixture
def pair(tmp_path):
    return checkpoints(tmp_path)


def pack(pair, directory, found=None, **options):
    base, tuned = map(stored, pair)
    return pack_difference(base, tuned, found or exact_policy(), directory, name="skill", **options)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_packs_and_decodes_to_the_error_it_states(pair, tmp_path, name):
    made = pack(pair, tmp_path / "p", policy(name))
    base, tuned = map(stored, pair)
    norm = error = 0.0
    for tensor in base.names():
        delta = tuned.tensor(tensor).double() - base.tensor(tensor).double()
        ours = made.delta(tensor).double() if tensor in made.tensors else torch.zeros_like(delta)
        norm, error = (
            norm + float(delta.square().sum()),
            error + float((delta - ours).square().sum()),
        )
        if tensor in made.tensors:
            relative = float((delta - ours).norm() / delta.norm())
            assert made.tensors[tensor]["relF"] == pytest.approx(relative, abs=2e-6)
    assert made.manifest["relF"] == pytest.approx((error / norm) ** 0.5, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", POLICIES)
def test_no_change_is_no_change_under_every_policy(tmp_path, name):
    base, _ = checkpoints(tmp_path)
    made = pack((base, base), tmp_path / "p", policy(name))
    assert made.manifest["size"]["payload"] == 0
    apply_to_checkpoint(base, [made], tmp_path / "out")
    for shard in base.glob("*.safetensors"):
        assert (tmp_path / "out" / shard.name).read_bytes() == shard.read_bytes()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gemma2"])
def test_an_exact_pack_gives_the_tuned_checkpoint_back_bit_for_bit(tmp_path, dtype, family):
    pair = checkpoints(tmp_path, family, dtype=dtype)
    made = pack(pair, tmp_path / "p")
    apply_to_checkpoint(pair[0], [made], tmp_path / "out")
    result, tuned = Checkpoint(tmp_path / "out"), Checkpoint(pair[1])
    assert result.names() == tuned.names()
    for name in tuned.names():
        assert torch.equal(result.tensor(name), tuned.tensor(name)), name


def test_full_rank_without_rounding_is_exact_in_float32(tmp_path):
    pair = checkpoints(tmp_path, dtype=torch.bfloat16)
    found = PackConfig(
        name="full",
        classes={
            "m": ClassRule(match="attention|mlp|table", op="lowrank", bits=32),
            "rest": ClassRule(op="dense", bits=0),
        },
    )
    made = pack(pair, tmp_path / "p", found)
    assert made.manifest["relF"] <= 1e-5
    apply_to_checkpoint(pair[0], [made], tmp_path / "out")
    result, tuned = Checkpoint(tmp_path / "out"), Checkpoint(pair[1])
    same = [result.tensor(name) == tuned.tensor(name) for name in tuned.names()]
    assert torch.cat([x.flatten() for x in same]).float().mean() >= 0.9999


@pytest.mark.parametrize("name", POLICIES)
def test_size_is_the_file_to_the_byte(pair, tmp_path, name):
    made = pack(pair, tmp_path / "p", policy(name))
    size = made.manifest["size"]
    assert size["bytes"] == (tmp_path / "p" / PAYLOAD_FILE).stat().st_size
    assert size["bytes"] == size["header"] + size["payload"]
    assert sum(item["bytes"] for item in made.tensors.values()) == size["payload"]
    on_disk = sum(f.stat().st_size for f in (tmp_path / "p").rglob("*") if f.is_file())
    assert made.bytes_count == on_disk


@pytest.mark.parametrize("name", ["module_aware", "svd", "svd_quantised", "dense_bf16"])
def test_the_predicted_size_is_the_real_one(pair, tmp_path, name):
    found = policy(name, *(["pack.classes.embed.density=0.5"] if name == "module_aware" else []))
    made = pack(pair, tmp_path / "p", found)
    exact = {n for n, item in made.tensors.items() if item.get("dtype") == "float64"}
    predicted = predicted_bytes(make_plans(stored(pair[0]), found), found.quant.group)
    wider = sum(made.tensors[n]["bytes"] // 2 for n in exact)  # float64 where float32 cannot
    assert made.manifest["size"]["payload"] == pytest.approx(
        predicted - made.manifest["size"]["header"] + wider, abs=16
    )


def budgeted(directory, name, target):
    """A pack that is to keep a target, the bytes allowed, and those of exact float64 tensors."""
    pair = checkpoints(directory, hidden_size=64, intermediate_size=128, head_dim=16)
    made = pack(pair, directory / "p", policy(name, f"pack.budget.target={target}"))
    allowed = target * made.manifest["size"]["dense_bytes"]
    wider = sum(i["bytes"] // 2 for i in made.tensors.values() if i.get("dtype") == "float64")
    return made, allowed, wider


def test_an_energy_rule_keeps_the_budget(tmp_path):
    made, allowed, wider = budgeted(tmp_path / "b", "module_aware_energy", 0.15)
    assert made.manifest["size"]["bytes"] - wider <= allowed + 64
    free = pack((tmp_path / "b" / "base", tmp_path / "b" / "tuned"), tmp_path / "f",
                policy("module_aware_energy"))  # fmt: skip
    mlp = [n for n, item in free.tensors.items() if item["class"] == "mlp"]
    assert mlp
    for name in mlp:  # noise: nine tenths of its energy need more directions than are paid for
        assert made.tensors[name]["rank"] < free.tensors[name]["rank"]


@pytest.mark.parametrize("target", [0.4, 0.8, 1.5])
def test_a_budget_is_used_and_kept(tmp_path, target):
    made, allowed, wider = budgeted(tmp_path, "svd", target)
    assert 0.8 * allowed <= made.manifest["size"]["bytes"] - wider <= allowed + 64


def test_an_impossible_budget_is_refused(pair, tmp_path):
    with raises(ConfigError, "pack.budget.target=0.001"):
        pack(pair, tmp_path / "p", policy("svd", "pack.budget.target=0.001"))
    assert not (tmp_path / "p").exists()


def test_every_parameter_has_one_class_and_skipped_ones_are_listed(pair, tmp_path):
    made = pack(pair, tmp_path / "p", policy("phlora"))
    names = set(stored(pair[0]).names())
    assert set(made.names()) | set(made.manifest["skipped"]) == names
    assert not set(made.names()) & set(made.manifest["skipped"])
    assert "model.norm.weight" in made.manifest["skipped"]


def test_a_tied_table_counts_once(tmp_path):
    tied = stored(checkpoints(tmp_path / "a", tied=True)[0]).names()
    untied = stored(checkpoints(tmp_path / "b", tied=False)[0]).names()
    assert set(untied) - set(tied) == {"lm_head.weight"}


def test_packing_projections_leaves_tables_and_norms_the_bases(tmp_path):
    """The release merged into the tuned model, so they came along uncompressed."""
    pair = checkpoints(tmp_path)
    made = pack(pair, tmp_path / "p", policy("phlora"))
    apply_to_checkpoint(pair[0], [made], tmp_path / "out")
    result, base = Checkpoint(tmp_path / "out"), Checkpoint(pair[0])
    for name in base.names():
        same = torch.equal(result.tensor(name), base.tensor(name))
        assert same == ("_proj" not in name), name


@pytest.mark.parametrize("name", ["module_aware", "prune", "dare", "svd"])
def test_shards_memory_and_order_give_the_same_bytes(tmp_path, name, monkeypatch):
    whole = checkpoints(tmp_path / "one")
    sharded = checkpoints(tmp_path / "many", shard="8KB")
    assert len(list(sharded[0].glob("*.safetensors"))) > 2
    base = tiny_model()
    loaded = LoadedWeights(base), LoadedWeights(tuned_copy(base))
    found = policy(name)
    pack(whole, tmp_path / "a", found)
    monkeypatch.setattr("franken.parts.weights.BLOCK_BYTES", 256)
    monkeypatch.setattr("franken.skillpack.changes.BLOCK_BYTES", 256)
    pack(sharded, tmp_path / "b", found)
    pack_difference(*loaded, found, tmp_path / "c", name="skill")
    expected = (tmp_path / "a" / PAYLOAD_FILE).read_bytes()
    assert (tmp_path / "b" / PAYLOAD_FILE).read_bytes() == expected
    assert (tmp_path / "c" / PAYLOAD_FILE).read_bytes() == expected


def test_columns_are_scaled_clamped_and_never_more_than_there_are():
    found = policy("module_aware")
    rule = found.classes["attn"]
    assert schedule_columns(found, "attn", rule, (4096, 4096)) == ((8, 20), (4, 180), (2, 800))
    assert schedule_columns(found, "attn", rule, (128, 128)) == ((8, 1), (4, 5), (2, 25))
    found.schedule_width = None
    assert schedule_columns(found, "attn", rule, (128, 300)) == ((8, 20), (4, 108))
    found.classes["attn"].schedule = "uniform4"
    payload = 20 * 8 + 180 * 4 + 800 * 2
    assert schedule_columns(found, "attn", rule, (4096, 4096)) == ((4, payload // 4),)


def test_a_foreign_base_is_refused(pair, tmp_path):
    made = pack(pair, tmp_path / "p")
    with raises(CompatibilityError, f"pack {made.name!r}", repr(next(iter(made.tensors)))):
        check_base(made, stored(pair[1]))
    with raises(CompatibilityError, f"pack {made.name!r}", repr(next(iter(made.tensors)))):
        apply_to_checkpoint(pair[1], [made], tmp_path / "out")
    other, _ = checkpoints(tmp_path / "wide", hidden_size=32, head_dim=8)
    with raises(CompatibilityError, f"pack {made.name!r}", (96, 16), (96, 32)):
        apply_to_checkpoint(other, [made], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_packs_are_refused_with_a_reason(pair, tmp_path):
    pack(pair, tmp_path / "p")
    payload, manifest = tmp_path / "p" / PAYLOAD_FILE, tmp_path / "p" / "delta.json"
    good, text = payload.read_bytes(), manifest.read_text()

    flipped = bytearray(good)
    flipped[-5] ^= 1
    payload.write_bytes(flipped)
    with raises(ArtifactError, payload, "sha256"):
        SkillPack(tmp_path / "p")
    payload.write_bytes(good[:-9])
    with raises(ArtifactError, payload):
        SkillPack(tmp_path / "p")
    payload.unlink()
    with raises(ArtifactError, payload):
        SkillPack(tmp_path / "p")
    payload.write_bytes(good)

    for change, *names in (
        ({"schema": 99}, 99, 3),
        ({"schema": 2}, 2, 3),
        ({"kind": "lora"}, "'lora'"),
    ):
        manifest.write_text(json.dumps(json.loads(text) | change))
        with raises(ArtifactError, manifest, *names):
            SkillPack(tmp_path / "p")
    content = json.loads(text)
    content["tensors"]["model.norm.weight"]["shape"] = [17]
    manifest.write_text(json.dumps(sealed(content)))
    with raises(ArtifactError, payload, "'model.norm.weight'"):
        SkillPack(tmp_path / "p")
    manifest.write_text(text[: len(text) // 2])
    with raises(ArtifactError, manifest):
        SkillPack(tmp_path / "p")
    manifest.unlink()
    with raises(ArtifactError, tmp_path / "p", "delta.json"):
        SkillPack(tmp_path / "p")


def test_what_the_manifest_says_of_a_tensor_is_protected(pair, tmp_path):
    made = pack(pair, tmp_path / "p", policy("bitdelta"))
    manifest = tmp_path / "p" / "delta.json"
    text = manifest.read_text()
    name = next(n for n, item in made.tensors.items() if item["form"] == "sign")
    for change in ({"scale": 2 * made.tensors[name]["scale"]}, {"relF": 0.0}, {"shape": []}):
        content = json.loads(text)
        content["tensors"][name] |= change
        manifest.write_text(json.dumps(content))
        with raises(ArtifactError, manifest, "manifest_sha256"):
            SkillPack(tmp_path / "p")


def damage_tensor(change):
    def damaged(content):
        content["tensors"]["model.norm.weight"] = change(content["tensors"]["model.norm.weight"])

    return damaged


@pytest.mark.parametrize(
    "damage",
    [
        damage_tensor(lambda item: {k: v for k, v in item.items() if k != "form"}),
        damage_tensor(lambda item: {k: v for k, v in item.items() if k != "shape"}),
        damage_tensor(lambda item: item | {"shape": None}),
        damage_tensor(lambda item: item | {"shape": ["x"]}),
        damage_tensor(lambda item: item | {"dtype": "float8"}),
        damage_tensor(lambda item: None),
        damage_tensor(lambda item: [1]),
        lambda content: content.update(tensors=[]),
        lambda content: content.update(sha256={}),
        lambda content: content.update(sha256=None),
        lambda content: content["sha256"].pop(PAYLOAD_FILE),
    ],
)
def test_a_manifest_that_is_whole_but_wrong_is_refused(pair, tmp_path, damage):
    pack(pair, tmp_path / "p")
    manifest = tmp_path / "p" / "delta.json"
    content = json.loads(manifest.read_text())
    damage(content)
    manifest.write_text(json.dumps(sealed(content)))
    with raises(ArtifactError, tmp_path / "p"):
        SkillPack(tmp_path / "p")


def test_a_form_that_lacks_a_number_is_refused_when_read(pair, tmp_path):
    made = pack(pair, tmp_path / "p", policy("svd"))
    name = next(n for n, item in made.tensors.items() if item["form"] == "lowrank")
    manifest = tmp_path / "p" / "delta.json"
    content = json.loads(manifest.read_text())
    del content["tensors"][name]["sigma_exponent"]
    manifest.write_text(json.dumps(sealed(content)))
    with raises(ArtifactError, "sigma_exponent"):
        SkillPack(tmp_path / "p").delta(name)


def test_models_that_are_no_relatives_are_refused(tmp_path):
    tied, _ = checkpoints(tmp_path / "a", tied=True)
    _, untied = checkpoints(tmp_path / "b", tied=False)
    with raises(CompatibilityError, "tied"):
        pack((tied, untied), tmp_path / "p")
    _, half = checkpoints(tmp_path / "c", dtype=torch.bfloat16)
    with raises(CompatibilityError, torch.bfloat16, torch.float32):
        pack((tied, half), tmp_path / "p")
    assert not (tmp_path / "p").exists()


def test_an_error_while_packing_leaves_nothing(pair, tmp_path):
    def stop(name, done, total):
        if done == 5:
            raise RuntimeError("stop")

    with raises(RuntimeError, "stop"):
        pack(pair, tmp_path / "p", on_tensor=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base", "tuned"]


def test_a_kill_while_packing_leaves_no_pack(pair, tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from franken.skillpack import pack_difference\n"
        "from tests.skillpack.pairs import exact_policy, stored\n"
        "def wait(name, done, total):\n"
        "    print(done, flush=True)\n"
        "    time.sleep(60 if done == 4 else 0)\n"
        "base, tuned, out = map(Path, sys.argv[1:])\n"
        "pack_difference(stored(base), stored(tuned), exact_policy(), out, name='x',\n"
        "                on_tensor=wait)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, pair), str(tmp_path / "p")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "4":
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    time.sleep(0.1)
    assert not (tmp_path / "p").exists()
    with raises(ArtifactError, tmp_path / "p", "delta.json"):
        SkillPack(tmp_path / "p")
    pack(pair, tmp_path / "p")  # what the killed process left is in nobody's way


def test_rules_that_fit_no_tensor_are_faults():
    for match in ("attn", "re:["):
        ((key, found),) = ClassRule(match=match).faults()
        assert (key, unnamed(found, match)) == ("match", [])
    wrong = PackConfig(classes={"all": ClassRule(schedule="uniform9")})
    assert [key for key, _ in wrong.faults()] == ["schedule"]
    needs = PackConfig(classes={"all": ClassRule(schedule="uniform4")})
    assert set(dict(needs.faults())) == {"schedule"}
    needs.schedules = {"some": {"all": [[8, 2]]}}
    needs.schedule = "some"
    assert not list(needs.faults())


@pytest.mark.parametrize("rows", [104, 96], ids=["tuned_has_more", "tuned_has_less"])
@pytest.mark.parametrize("tied", [True, False])
def test_models_that_differ_in_padding_rows_are_packed(tmp_path, rows, tied):
    """As when one of two checkpoints was padded to a multiple: 96 tokens, 104 rows."""
    base = tiny_model("llama", rows=200 - rows, tied=tied)
    tuned = tuned_copy(base)
    tuned.resize_token_embeddings(rows, mean_resizing=False)
    for model, name in ((base, "base"), (tuned, "tuned")):
        save_checkpoint(model, tiny_tokenizer(), tmp_path / name)
    made = pack((tmp_path / "base", tmp_path / "tuned"), tmp_path / "p")
    apply_to_checkpoint(tmp_path / "base", [made], tmp_path / "out")
    found, wanted = stored(tmp_path / "out"), stored(tmp_path / "tuned")
    for tensor in wanted.names():
        mine, theirs = found.tensor(tensor), wanted.tensor(tensor)
        if found.anatomy.is_table_tensor(tensor):
            assert torch.equal(
                mine[96:], stored(tmp_path / "base").tensor(tensor)[96:][: len(mine)]
            )
            mine, theirs = mine[:96], theirs[:96]
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)


def test_rows_of_tokens_that_only_one_model_has_are_no_padding(tmp_path):
    base, more = tiny_tokenizer(), tiny_tokenizer()
    more.add_tokens([f"<new{i}>" for i in range(8)])
    save_checkpoint(tiny_model("llama", rows=96), base, tmp_path / "base")
    save_checkpoint(tiny_model("llama", rows=104), more, tmp_path / "tuned")
    with raises(CompatibilityError, "language pack"):
        pack((tmp_path / "base", tmp_path / "tuned"), tmp_path / "p")
