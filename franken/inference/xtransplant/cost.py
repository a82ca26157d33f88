"""Closed forms of the work: layer tokens of one sample.

N layers, P prompt tokens on both sides, G new tokens, no early end, every row decoded.
"""

from franken.config.inference import Engine

NAIVE, CACHE, WAVEFRONT = Engine.naive, Engine.cache, Engine.wavefront


def grid_layer_tokens(engine: Engine, n: int, p: int, g: int) -> int:
    """The full grid of N x N pairs."""
    match engine:
        case Engine.naive:
            return n**3 * (2 * p + g - 1)
        case Engine.cache:
            return n * p + n * (p - 1) + n**3 + n**3 * (g - 1)
        case Engine.wavefront:
            return 2 * n * p + n**2 * (n - 1) // 2 + n**3 * (g - 1)


def column_layer_tokens(engine: Engine, n: int, p: int, g: int) -> int:
    """The N pairs with target layer 0 (TargetFirst)."""
    match engine:
        case Engine.naive:
            return n**2 * (2 * p + g - 1)
        case Engine.cache:
            return n * p + n * (p - 1) + n**2 + n**2 * (g - 1)
        case Engine.wavefront:
            return 2 * n * p + n * (n - 1) + n**2 * (g - 1)


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
