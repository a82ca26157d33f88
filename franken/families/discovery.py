"""The anatomy of a model, read from the model: built on the meta device, without weights."""

import copy
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from franken.errors import CompatibilityError
from franken.families import declared
from franken.families.anatomy import Anatomy, text_config
from franken.families.objective import auto_class, is_masked, model_class

_PROBE_ROWS = 99_991
"""A vocabulary size that no other dimension has: what has it depends on the vocabulary."""

_ATTENTION = {
    "q": r"q_proj|query|q_lin|wq|q_b_proj",
    "k": r"k_proj|key|k_lin|wk|kv_b_proj|kv_proj",
    "v": r"v_proj|value|v_lin|wv|kv_b_proj|kv_proj",
    "qkv": r"qkv_proj|c_attn|query_key_value|Wqkv|wqkv|W_pack|qkv|self_attention\.qkv",
    "o": r"o_proj|out_proj|dense|c_proj|out_lin|wo|Wo|output\.dense|resid_proj",
}
_FEED_FORWARD = {
    "gate": r"gate_proj|w1|gate",
    "up": r"up_proj|fc1|c_fc|dense_h_to_4h|fc_in|w3|intermediate\.dense|lin1|linear_fc1|Wi",
    "down": r"down_proj|fc2|c_proj|dense_4h_to_h|fc_out|w2|output\.dense|lin2|linear_fc2|Wo",
    "gate_up": r"gate_up_proj|gate_and_up_proj|input_linear|dense_h_to_4h_swiglu",
}
_IN_ATTENTION = re.compile(r"(^|\.)[^.]*(attn|attention|temporal_block|self_att)[^.]*\.")
_ELSEWHERE = re.compile(r"cross|encoder_attn|encoder_decoder|indexer|compressor|crossattention")
_IN_EXPERTS = re.compile(r"expert|router")
_BLOCK_NAMES = ("mlp", "feed_forward", "ffn", "ff", "block_sparse_moe", "moe")
_BRANCH_NORMS = ("post_feedforward_layernorm", "post_mlp_layernorm")


def skeleton(config: PretrainedConfig) -> PreTrainedModel:
    """The model on the meta device, with a vocabulary of a size that nothing else has.

    Raises:
        CompatibilityError: where it cannot be built so.
    """
    probe = copy.deepcopy(config)
    text = text_config(probe)
    rows = getattr(text, "vocab_size", None)
    for name, value in list(vars(text).items()):
        kinds = name == "type_vocab_size"  # 1 in RoBERTa, as the vocabulary of a bare body
        if "vocab" in name and not kinds and value == rows and isinstance(value, int):
            setattr(text, name, _PROBE_ROWS)
    if getattr(text, "vocab_size", None) != _PROBE_ROWS:
        text.vocab_size = _PROBE_ROWS
    if (getattr(text, "pad_token_id", None) or 0) >= _PROBE_ROWS:
        text.pad_token_id = 0  # some embeddings refuse a padding index beyond their rows
    model_class(config)  # refuses a type without a language model
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            model: PreTrainedModel = auto_class(config).from_config(probe, dtype=torch.float32)
            return model
    except Exception as error:  # whatever a family's constructor raises
        raise CompatibilityError(
            f"a {config.model_type!r} model cannot be built from this config: "
            f"{type(error).__name__}: {error}"
        ) from error


def discover(config: PretrainedConfig) -> Anatomy:
    """Read names from the model; what is declared of the family goes before what was read.

    Raises:
        CompatibilityError: says what a table would need and this model lacks.
    """
    family = config.model_type
    facts = dict(declared.facts_of(family))
    if reason := facts.pop("refused", None):
        raise CompatibilityError(f"family {family!r}: {reason}")
    model = skeleton(config)
    found = _tables(model, family)
    found |= _layers(model, family)
    found |= {"masked": is_masked(config), "positions_from_padding": _counts_from_padding(model)}
    aliases = dict(found.pop("aliases"))
    for name, spellings in facts.pop("aliases", {}).items():
        aliases[name] = tuple(dict.fromkeys((*aliases.get(name, ()), *spellings)))
    return Anatomy(family=family, **(found | {"aliases": aliases} | facts))


def _tables(model: PreTrainedModel, family: str) -> dict[str, Any]:
    """Where the vocabulary sits: names of the tables, and that nothing else depends on it."""
    embedding: Any
    head: Any
    try:
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    except (NotImplementedError, AttributeError):
        embedding = head = None
    for what, module in (("input", embedding), ("output", head)):
        if not isinstance(getattr(module, "weight", None), nn.Parameter):
            raise CompatibilityError(
                f"family {family!r}: the model names no module with {what} rows "
                f"(get_{what}_embeddings gives {type(module).__name__})"
            )
    rows, out = embedding.weight, head.weight
    if rows.shape != out.shape or rows.shape[0] != _PROBE_ROWS:
        raise CompatibilityError(
            f"family {family!r}: input rows are {tuple(rows.shape)}, output rows "
            f"{tuple(out.shape)} for a vocabulary of {_PROBE_ROWS}; a table has rows of one shape, "
            "one per token"
        )
    bias: Any = getattr(head, "bias", None)
    groups: dict[str, list[str]] = {"input": [], "output": [], "bias": []}
    others = []
    for name, tensor in _all_tensors(model):
        if tensor is rows:
            groups["input"].append(name)
        elif tensor is out:
            groups["output"].append(name)
        elif bias is not None and tensor is bias:
            groups["bias"].append(name)
        elif _PROBE_ROWS in tensor.shape:
            others.append(f"{name} {tuple(tensor.shape)}")
    if others:
        raise CompatibilityError(
            f"family {family!r}: besides its table, {len(others)} tensors have a row per token "
            f"({others[0]}); no rows could be made for new tokens there"
        )
    names = {id(module): name for name, module in model.named_modules()}
    chosen = {
        "input": f"{names[id(embedding)]}.weight", "output": f"{names[id(head)]}.weight",
    } | ({"bias": f"{names[id(head)]}.bias"} if bias is not None else {})  # fmt: skip
    if rows is out:  # one parameter: its names by module
        inside = chosen["output"]
        groups["output"] = [inside]
        groups["input"] = [name for name in groups["input"] if name != inside]
    return {
        "input_embedding": chosen["input"],
        "output_head": chosen["output"],
        "head_bias": chosen.get("bias"),
        "width": int(rows.shape[1]),
        "aliases": {
            chosen[part]: spellings
            for part, names_ in groups.items()
            if part in chosen and (spellings := _spellings(model, chosen[part], names_))
        },
    }


def _counts_from_padding(model: nn.Module) -> bool:
    """Whether the module of the embeddings numbers positions from the padding id."""
    return any(
        "padding_idx" in vars(module) and hasattr(module, "position_embeddings")
        for module in model.modules()
    )


def _all_tensors(model: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _spellings(model: PreTrainedModel, chosen: str, others: list[str]) -> tuple[str, ...]:
    """Other names of a tensor: of the same parameter, and as transformers writes it to files."""
    names = [name for name in others if name != chosen]
    try:
        from transformers.core_model_loading import revert_weight_conversion

        meta = torch.empty(1, device="meta")
        names += revert_weight_conversion(model, {chosen: meta})
    except ImportError:  # an earlier 5.x
        pass
    return tuple(name for name in dict.fromkeys(names) if name != chosen)


def _layers(model: PreTrainedModel, family: str) -> dict[str, Any]:
    """Where the stack of layers is, and what is in a layer."""
    layers = _stack(model)
    if layers is None:
        return {"backbone": model.base_model_prefix, "layers": "", "attention": {}, "mlp": None,
                "feed_forward": {}, "final_norm": ""}  # fmt: skip
    stack = model.get_submodule(layers)
    backbone = _backbone(model, layers)
    attention: dict[str, str] = {}
    forward: dict[str, str] = {}
    conv1d = False
    for layer in stack.children():
        leaves = {
            path: type(leaf).__name__ for path, leaf in layer.named_modules()
            if path and isinstance(getattr(leaf, "weight", None), nn.Parameter)
            and leaf.weight.ndim == 2
        }  # fmt: skip
        if not attention:
            attention = _attention(leaves)
        if not forward:
            forward = _feed_forward(leaves)
        conv1d = conv1d or "Conv1D" in leaves.values()
    children = {name for layer in stack.children() for name, _ in layer.named_children()}
    blocks = [name for name in _BLOCK_NAMES if name in children]
    norms = [name for name in _BRANCH_NORMS if name in children]
    return {
        "backbone": backbone,
        "layers": layers,
        "final_norm": _final_norm(model, layers),
        "attention": attention,
        "mlp": blocks[0] if blocks else None,
        "feed_forward": forward,
        "branch_norm": norms[0] if norms else None,
        "conv1d": conv1d,
    }


def _stack(model: PreTrainedModel) -> str | None:
    """Path of the list of layers that lies beside, or above, the input rows."""
    config = text_config(model.config)
    count = getattr(config, "num_hidden_layers", None)
    embedding = next(
        name for name, module in model.named_modules() if module is model.get_input_embeddings()
    )
    found = [
        (path, len(module)) for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and path.count(".") <= 4
    ]  # fmt: skip
    exact = [path for path, length in found if length == count] or [
        path for path, length in found if length == max(length for _, length in found)
    ]

    def distance(path: str) -> tuple[int, int]:
        shared = 0
        for ours, theirs in zip(path.split("."), embedding.split("."), strict=False):
            if ours != theirs:
                break
            shared += 1
        return -shared, path.count(".")

    return min(exact, key=distance) if exact else None


def _backbone(model: PreTrainedModel, layers: str) -> str:
    """The innermost pretrained module that holds both the input rows and the layers."""
    embedding = model.get_input_embeddings()
    best = ""
    for path, module in model.named_modules():
        inside = layers.startswith(f"{path}.") and isinstance(module, PreTrainedModel)
        if path and inside and any(part is embedding for part in module.modules()):
            best = path
    return best or model.base_model_prefix


def _final_norm(model: PreTrainedModel, layers: str) -> str:
    parent, _, own = layers.rpartition(".")
    names = [name for name, _ in model.get_submodule(parent).named_children()]
    later = names[names.index(own) + 1 :]
    norms = [name for name in later if "norm" in name.lower() or name.startswith("ln_")]
    return f"{parent}.{norms[0]}".lstrip(".") if norms else ""


def _attention(leaves: dict[str, str]) -> dict[str, str]:
    """Role -> path inside a layer; empty where not all four roles are found."""
    own = [path for path in leaves if _IN_ATTENTION.search(path) and not _ELSEWHERE.search(path)]
    fused = _ending_in(own, _ATTENTION["qkv"])
    roles = {role: fused or _ending_in(own, _ATTENTION[role]) for role in "qkv"}
    roles["o"] = _ending_in([path for path in own if path != fused], _ATTENTION["o"])
    return {role: path for role, path in roles.items() if path} if all(roles.values()) else {}


def _feed_forward(leaves: dict[str, str]) -> dict[str, str]:
    own = [
        path for path in leaves
        if not (_IN_ATTENTION.search(path) or _ELSEWHERE.search(path) or _IN_EXPERTS.search(path))
    ]  # fmt: skip
    fused = _ending_in(own, _FEED_FORWARD["gate_up"])
    found = {
        role: fused if fused and role != "down" else _ending_in(own, _FEED_FORWARD[role])
        for role in ("gate", "up", "down")
    }
    roles = {role: path for role, path in found.items() if path}
    return roles if {"up", "down"} <= set(roles) else {}


def _ending_in(paths: list[str], pattern: str) -> str | None:
    """The first path that ends in one of the names."""
    return next((path for path in paths if re.search(rf"(^|\.)({pattern})$", path)), None)
