"""All sides of ``skillpack_*``: WAY ..., where WAY is inputs, franken, svd or compare.

``inputs MODEL FOLDER`` writes base and tuned checkpoints, which differ in each matrix by singular
values i^-0.7 of the size that fine-tuning has; MODEL may be ``wide``: two layers of Llama 3.2 1B's
shape with random weights. The others take FOLDER.
"""

import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

RANK = 32
way, *rest = sys.argv[1:]
folder = Path(rest[-1])
FILE = "model.safetensors"


def is_matrix(name: str) -> bool:
    return name.endswith("_proj.weight")


def delta_of(name: str, shape: torch.Size) -> torch.Tensor:
    draw = torch.Generator().manual_seed(sum(name.encode()) + 7919 * len(name))
    sides = [torch.linalg.qr(torch.randn(n, min(shape), generator=draw)).Q for n in shape]
    return (sides[0] * (0.5 * torch.arange(1, min(shape) + 1).float() ** -0.7)) @ sides[1].T


def write_wide(target: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000, hidden_size=2048, intermediate_size=8192, num_hidden_layers=2,
        num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(target)


def differences():
    paths = (folder / "base" / FILE, folder / "tuned" / FILE)
    with safe_open(paths[0], "pt") as base, safe_open(paths[1], "pt") as tuned:
        for name in filter(is_matrix, sorted(base.keys())):
            yield name, tuned.get_tensor(name).float() - base.get_tensor(name).float()


if way == "inputs":
    model = Path(rest[0])
    if rest[0] == "wide":
        write_wide(model := folder / "wide")
    for side in ("base", "tuned"):
        shutil.copytree(model, folder / side, ignore=shutil.ignore_patterns("*.safetensors"))
    weights = load_file(model / FILE)
    save_file(weights, folder / "base" / FILE, {"format": "pt"})
    for name in filter(is_matrix, list(weights)):
        weights[name] = weights[name].float() + delta_of(name, weights[name].shape)
    save_file(weights, folder / "tuned" / FILE, {"format": "pt"})
elif way == "franken":
    from franken.config.pack import ClassRule, PackConfig
    from franken.parts.weights import StoredWeights
    from franken.skillpack import pack_difference

    matrices = ClassRule(match="attention|mlp", op="lowrank", rank=RANK, bits=32)
    policy = PackConfig(classes={"matrices": matrices, "rest": ClassRule(op="skip")})
    base, tuned = (StoredWeights.of_checkpoint(folder / side) for side in ("base", "tuned"))
    pack_difference(base, tuned, policy, folder / "franken", name="peers")
elif way == "svd":
    found = {}
    for name, delta in differences():
        left, sigma, right = torch.linalg.svd(delta, full_matrices=False)
        found[f"{name}.B"] = (left[:, :RANK] * sigma[:RANK]).contiguous()
        found[f"{name}.A"] = right[:RANK].contiguous()
    (folder / "peer").mkdir(exist_ok=True)
    save_file(found, folder / "peer" / "adapter_model.safetensors")
else:
    from franken.parts.skillpack import SkillPack

    pack = SkillPack(folder / "franken")
    given = load_file(folder / "peer" / "adapter_model.safetensors")
    errors = {"franken": 0.0, "peer": 0.0}
    count = 0
    for name, delta in differences():
        stem = name.removesuffix(".weight")
        if f"{name}.B" in given:
            theirs = given[f"{name}.B"] @ given[f"{name}.A"]
        else:
            parts = [
                next(v for k, v in given.items() if stem in k and f"lora_{side}" in k)
                for side in "BA"
            ]
            theirs = parts[0].float() @ parts[1].float()
        errors["franken"] += float((delta - pack.delta(name)).double().square().sum())
        errors["peer"] += float((delta - theirs).double().square().sum())
        count += 1
    ratio = (errors["franken"] / errors["peer"]) ** 0.5
    print(f"{count} matrices; error of franken / of the peer: {ratio:.4f}")
