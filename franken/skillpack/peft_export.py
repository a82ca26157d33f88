"""Low-rank changes as a LoRA adapter that peft loads (PHLoRA: post-hoc LoRA from a difference)."""

from pathlib import Path

import torch
from peft import LoraConfig
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor

from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.parts import safetensors_file
from franken.parts.anatomy import anatomy_of_family
from franken.parts.disk_surgery import new_directory
from franken.parts.forms import LowRankForm
from franken.parts.skillpack import SkillPack
from franken.parts.weights import kind_of_tensor

_PREFIX = "base_model.model."


def export_peft(
    pack: SkillPack, directory: Path, *, dtype: torch.dtype = torch.float32
) -> list[str]:
    """Write ``A = S^1/2 V^T``, ``B = U S^1/2`` for every low-rank matrix of attention and MLP.

    Every module has its own rank (``rank_pattern``) and alpha equal to it, so the scale is 1. It is
    the pack itself, rounding of the vectors included; changes of other forms cannot be LoRA, and
    tables are none of its layers. Families that store projections ``(in, out)`` have U on the side
    of the input: A and B change places (``fan_in_fan_out``).

    Args:
        pack: with at least one low-rank change.
        directory: the adapter; must not exist.
        dtype: of A and B.

    Returns:
        Parameters that the pack changes and the adapter does not.
    """
    anatomy = anatomy_of_family(pack.manifest["base"]["family"])
    weights: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    left_out = list(pack.manifest["skipped"])
    for name in pack.names():
        form = pack.form(name)
        if form.kind == "zero":
            continue
        kind = kind_of_tensor(name, tuple(form.shape), anatomy)
        if not isinstance(form, LowRankForm) or kind not in ("attention", "mlp"):
            left_out.append(name)
            continue
        module = name.removesuffix(".weight")
        # A negative value (a refit may give one) goes into B with its sign.
        root = form.sigma.abs().sqrt()
        right, left = form.right(), form.left()
        if anatomy.conv1d:
            right, left = left.T, right.T
        weights[f"{_PREFIX}{module}.lora_A.weight"] = (root[:, None] * right).to(dtype)
        weights[f"{_PREFIX}{module}.lora_B.weight"] = (left * (root * form.sigma.sign())).to(dtype)
        ranks[module] = form.rank
    if not weights:
        raise CompatibilityError(f"pack {pack.name!r} holds no low-rank change of the body")
    rank = max(ranks.values())
    config = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=rank, lora_dropout=0.0, bias="none",
        target_modules=sorted(ranks), rank_pattern=ranks, alpha_pattern=dict(ranks),
        inference_mode=True, fan_in_fan_out=anatomy.conv1d,
    )  # fmt: skip
    with new_directory(Path(directory)) as scratch:
        safetensors_file.write_file(
            scratch / SAFETENSORS_WEIGHTS_NAME,
            [safetensors_file.tensor_entry(name, tensor) for name, tensor in weights.items()],
            {"format": "pt"},
        )
        config.save_pretrained(str(scratch))
        settings = read_json(scratch / "adapter_config.json")
        settings["target_modules"] = sorted(settings["target_modules"])
        write_json(scratch / "adapter_config.json", settings)
    return sorted(left_out)
