"""A pack as an adapter that peft loads: low-rank changes as LoRA, rows as trainable tokens.

PHLoRA: post-hoc LoRA from a difference.
"""

from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, TrainableTokensConfig
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor

from franken.errors import CompatibilityError
from franken.files import new_directory, read_json, write_json
from franken.parts import safetensors_file
from franken.parts.anatomy import anatomy_of_family
from franken.parts.forms import LowRankForm
from franken.parts.skillpack import SkillPack
from franken.parts.tokenizer_files import save_tokenizer
from franken.parts.weights import kind_of_tensor
from franken.skillpack.language import read_vocabulary
from franken.skillpack.peft_rows import TrainedRows, trained_rows

_PREFIX = "base_model.model."


def export_peft(
    pack: SkillPack, directory: Path, *, base: Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[str]:  # fmt: skip
    """Write ``A = S^1/2 V^T``, ``B = U S^1/2`` for every low-rank matrix of attention and MLP.

    Every module has its own rank (``rank_pattern``) and alpha equal to it, so the scale is 1. It is
    the pack itself, rounding of the vectors included; other changes of matrices cannot be LoRA.
    With ``base`` every row of the tables that the pack changes goes along, as a trainable token,
    and a vocabulary of the pack's own beside it: the base is then given as many rows
    (``resize_token_embeddings``) before it takes the adapter. Families that store projections
    ``(in, out)`` have U on the side of the input: A and B change places (``fan_in_fan_out``).

    Args:
        pack: with at least one low-rank change, or rows.
        directory: the adapter; must not exist.
        base: the checkpoint that the pack was made on; ``None`` leaves tables out.
        dtype: of A and B.

    Returns:
        Parameters that the pack changes and the adapter does not.

    Raises:
        CompatibilityError: where nothing is left to write, or ``base`` is not the pack's.
    """
    rows = {} if base is None else trained_rows(pack, base)
    weights, ranks, left_out = _low_rank(pack, set(rows), dtype)
    rows = {name: found for name, found in rows.items() if found.ids}
    if not weights and not rows:
        raise CompatibilityError(
            f"pack {pack.name!r} holds no low-rank change of the body"
            + (", and its rows need the base" if base is None else ", and no changed row")
        )
    config = _config(pack, ranks, list(rows.values()))
    weights |= _row_weights(pack, list(rows.values()), alone=not weights)
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
        if rows and pack.manifest["vocab"] is not None:
            save_tokenizer(read_vocabulary(pack)[1], scratch)  # type: ignore[arg-type]
    return sorted(left_out)


def _low_rank(
    pack: SkillPack, elsewhere: set[str], dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, int], list[str]]:
    """Tensors of A and B, ranks by module, and what is left out, but for what goes elsewhere."""
    anatomy = anatomy_of_family(pack.manifest["base"]["family"])
    weights: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    left_out = list(pack.manifest["skipped"])
    for name in pack.names():
        form = pack.form(name)
        if form.kind == "zero" or name in elsewhere:
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
    return weights, ranks, left_out


def _row_weights(pack: SkillPack, rows: list[TrainedRows], *, alone: bool) -> dict[str, Tensor]:
    """Tensors of trained rows; of rows alone peft writes those of a tied table twice, and asks."""
    place = "" if alone else "token_adapter."
    found = {f"{_PREFIX}{one.module}.{place}trainable_tokens_delta": one.values for one in rows}
    if alone and pack.manifest["base"]["tied"]:
        head = anatomy_of_family(pack.manifest["base"]["family"]).output_head
        twin = f"{_PREFIX}{head.removesuffix('.weight')}.trainable_tokens_delta"
        found[twin] = rows[0].values
    return found


def _config(pack: SkillPack, ranks: dict[str, int], rows: list[TrainedRows]) -> PeftConfig:
    """What peft reads; rows alone are an adapter of another kind, with one list of ids."""
    anatomy = anatomy_of_family(pack.manifest["base"]["family"])
    kind = None if anatomy.masked else "CAUSAL_LM"
    if not ranks:
        return TrainableTokensConfig(
            task_type=kind, token_indices=rows[0].ids, inference_mode=True,
            target_modules=[found.module for found in rows],
        )  # fmt: skip
    rank = max(ranks.values())
    return LoraConfig(
        task_type=kind, r=rank, lora_alpha=rank, lora_dropout=0.0, bias="none",
        target_modules=sorted(ranks), rank_pattern=ranks, alpha_pattern=dict(ranks),
        inference_mode=True, fan_in_fan_out=anatomy.conv1d,
        trainable_token_indices={found.module: found.ids for found in rows} or None,
    )  # fmt: skip
