"""A default as YAML writes it."""

import enum
import json
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_]\w*")
_TYPED = ("null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan")
"""Words that YAML takes for something else than text."""


def yaml_value(value: Any) -> str:
    """A default as YAML in one line; an enum by the name of its member."""
    if isinstance(value, enum.Enum):
        value = value.name
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")  # YAML 1.1
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _TYPED:
        return value
    return json.dumps(value, ensure_ascii=False)
