"""Closed forms of memory and arithmetic; each engine knows its own layer tokens."""


def private_cache_bytes(
    rows: int, slots: int, layers: int, kv_heads: int, head_dim: int, item_bytes: int
) -> int:
    """Keys and values of the rows' own positions, as ``wavefront`` holds them."""
    return rows * slots * layers * 2 * kv_heads * head_dim * item_bytes


def prefix_cache_bytes(
    tokens: int, layers: int, kv_heads: int, head_dim: int, item_bytes: int
) -> int:
    """Keys and values of one prompt."""
    return private_cache_bytes(1, tokens, layers, kv_heads, head_dim, item_bytes)


def grid_flop(
    layer_tokens: int, layer_parameters: int, head_parameters: int, logit_rows: int
) -> float:
    """Multiply-adds counted as two, without attention scores."""
    return 2.0 * layer_tokens * layer_parameters + 2.0 * logit_rows * head_parameters
