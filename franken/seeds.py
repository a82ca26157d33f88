"""Seeds derived from names, so that adding one consumer does not shift the others."""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A stable 63-bit seed for one use: ``derive_seed(0, "init_method", "lexicon")``."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
