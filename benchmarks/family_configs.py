"""A tiny random language model of any type: the default config, with every size made small."""

from typing import Any

import torch
from transformers import AutoConfig

from franken.families.objective import auto_class

_SMALL: dict[int, tuple[str, ...]] = {
    32: ("hidden_size", "d_model", "n_embd", "embedding_size", "word_embed_proj_dim", "dim_model",
         "hidden_dim", "lru_width", "dim", "emb_dim", "encoder_hidden_size", "hidden_size_global",
         "attention_hidden_size", "output_hidden_size", "projection_dim", "audio_hidden_size"),
    64: ("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim", "dim_ff", "dff",
         "d_ff", "ffn_hidden_size", "dense_intermediate_size", "intermediate_size_mlp",
         "max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length",
         "seq_length", "max_target_positions", "max_source_positions", "n_ctx",
         "mlp_hidden_size", "d_inner", "decoder_intermediate_size"),
    16: ("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size",
         "shared_intermediate_size", "moe_shared_expert_intermediate_size", "sliding_window",
         "attention_window", "window_size", "mlp_intermediate_size", "expert_intermediate_size",
         "moe_latent_size", "ffn_intermediate_size"),
    2: ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers",
        "encoder_layers", "num_decoder_layers", "num_encoder_layers", "num_key_value_heads",
        "n_kv_heads", "num_kv_heads", "num_experts_per_tok", "num_experts_per_token", "moe_k",
        "moe_topk", "top_k_experts", "swa_num_key_value_heads", "linear_num_key_heads",
        "index_n_heads", "num_global_key_value_heads", "num_experts_per_topk", "kv_heads",
        "num_shared_experts_per_tok", "H_layers", "L_layers", "num_layers_per_stack"),
    4: ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads",
        "encoder_attention_heads", "attention_heads", "num_encoder_attention_heads",
        "num_decoder_attention_heads", "num_experts", "n_routed_experts", "num_local_experts",
        "moe_num_experts", "swa_num_attention_heads", "linear_num_value_heads", "index_topk",
        "hidden_size_per_layer_input_", "kda_num_heads", "num_v_heads", "moe_num_primary_experts"),
    1: ("n_group", "topk_group", "mamba_n_groups", "n_groups", "mamba_ngroups", "n_mamba_heads",
        "num_expert_group", "n_shared_experts", "zero_expert_num", "num_shared_experts"),
    8: ("head_dim", "attention_head_dim", "global_head_dim", "swa_head_dim", "swa_v_head_dim",
        "v_head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "dim_head", "kv_channels",
        "mamba_head_dim", "mamba_d_head", "d_kv", "kv_lora_rank", "q_lora_rank", "o_lora_rank",
        "state_size", "mamba_d_state", "ssm_state_size", "mamba_n_heads", "mamba_num_heads",
        "chunk_size", "mamba_chunk_size", "time_step_rank", "mamba_dt_rank", "index_head_dim",
        "linear_key_head_dim", "linear_value_head_dim", "rotary_dim", "qk_head_dim"),
}  # fmt: skip
SIZES = {name: size for size, names in _SMALL.items() for name in names}
_IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
_LAYER_LISTS = ("layer_types", "layers_block_type", "mlp_layer_types", "block_types")

_ONE_OF_EACH = {"layer_types": ["linear_attention", "full_attention"]}
_NO_PER_LAYER_ROWS = {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
SPECIAL: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "cohere_compass_text": {"layer_types": ["full_attention"] * 2},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_group": 1, "topk_group": 1},
    "dots3_note_text": {"layer_types": ["full_attention"] * 2},
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8},
    "gemma3n_text": {"num_kv_shared_layers": 0, "layer_types": ["full_attention"] * 2},
    "gemma4": {"text_config": _NO_PER_LAYER_ROWS},
    "gemma4_text": _NO_PER_LAYER_ROWS,
    "gemma4_assistant": {"text_config": _NO_PER_LAYER_ROWS},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": _ONE_OF_EACH,
    "hrm_text": {"num_hidden_layers": 24},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {"qk_head_dim": 16, "head_dim": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "marian": {"decoder_vocab_size": 96},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 4},
    "qwen4_exp_text": {"linear_num_value_heads": 4, "linear_num_key_heads": 2},
    "reformer": {
        "is_decoder": True, "axial_pos_embds_dim": [16, 16], "axial_pos_shape": [8, 8],
        "attn_layers": ["local", "local"], "hidden_size": 32, "local_attn_chunk_length": 4,
    },
    "xlstm": {"chunk_size": 16, "qk_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": ["mamba", "hybrid"], "layer_types": None},
}  # fmt: skip
"""What a type needs besides small sizes."""


def tiny_random(name: str, *, rows: int) -> Any:
    """The model, in evaluation mode, with random biases and norms too."""
    config = AutoConfig.for_model(name, **overrides(name, rows))
    torch.manual_seed(0)
    model = auto_class(config).from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.02)
    return model


def overrides(name: str, rows: int) -> dict[str, Any]:
    default = AutoConfig.for_model(name)
    found = shrunk(default, rows)
    for field, value in SPECIAL.get(name, {}).items():
        nested = isinstance(value, dict) and isinstance(found.get(field), dict)
        found[field] = found[field] | value if nested else value
    return found


def shrunk(config: Any, rows: int) -> dict[str, Any]:
    """Small values for the fields that a config has; nested configs as well."""
    found: dict[str, Any] = {}
    attributes = getattr(config, "attribute_map", {})
    inverse = {own: common for common, own in attributes.items()}
    count = 2 if "num_hidden_layers" in {*vars(config), *attributes} else None
    for name, value in config.to_dict().items():
        inner = vars(config).get(name)
        size = SIZES.get(name, SIZES.get(inverse.get(name, "")))
        if hasattr(inner, "to_dict") and name.endswith("config"):
            found[name] = shrunk(inner, rows)
        elif "vocab" in name and isinstance(value, int) and value > 200:
            found[name] = rows
        elif name in _IDS:
            found[name] = _IDS[name]
        elif name.endswith("_token_id") and isinstance(value, int) and value >= rows:
            found[name] = 3
        elif name in _LAYER_LISTS and isinstance(value, list) and value:
            found[name] = (sorted(set(value)) * 2)[:count] if count else value
        elif size is not None and isinstance(value, int) and not isinstance(value, bool):
            found[name] = min(size, value)
    if found and _one_head_each(config):
        found |= {name: SIZES["num_attention_heads"] for name in found if name in _KEY_VALUE_HEADS}
    return found


_KEY_VALUE_HEADS = ("num_key_value_heads", "n_kv_heads", "num_kv_heads")


def _one_head_each(config: Any) -> bool:
    """Whether the default has as many key-value heads as query heads."""
    own = getattr(config, "attribute_map", {}).get("num_attention_heads", "num_attention_heads")
    heads = vars(config).get(own)
    pairs = {vars(config).get(name) for name in _KEY_VALUE_HEADS} - {None}
    return pairs == {heads}
