"""What must not be written: values of keys and variables that sound like secrets."""

import re
from collections.abc import Mapping
from typing import Any

_SECRET_NAME = re.compile(
    r"(^|[_-])(token|secret|password|passwd|api_?key|access_?key|credentials?)([_-]|$)",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a key or an environment variable sounds like one that holds a secret.

    Whole words only: ``loss_chunk_tokens`` and ``tokenizer`` are no secrets.
    """
    return _SECRET_NAME.search(name) is not None


def scrub(value: Any) -> Any:
    """Plain data without the values of keys that sound like secrets."""
    if isinstance(value, Mapping):
        kept = {str(k): v for k, v in value.items() if not is_secret(str(k))}
        return {key: scrub(item) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [scrub(item) for item in value]
    return value if isinstance(value, (int, float, str, bool, type(None))) else str(value)
