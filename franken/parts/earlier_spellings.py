"""What transformers 4 needs to read an export as version 5 does: both spellings side by side.

Version 5 keeps the rotary base in ``rope_parameters``, which version 4 (and what builds on its
config files) does not know: it silently takes the family's default base.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from franken.files import read_json, write_json
from franken.lazy import later

with later():
    from transformers import AutoConfig, PretrainedConfig

_SPELLINGS = ("rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor")


def write_earlier_spellings(directory: Path) -> None:
    """Add version 4's names to ``config.json``, unless version 5 would then read another config."""
    path = directory / "config.json"
    content = read_json(path)
    added = _with_spellings(content)
    if added == content:
        return
    before = _plain(AutoConfig.from_pretrained(directory))
    write_json(path, added)
    try:
        kept = _plain(AutoConfig.from_pretrained(directory)) == before
    except Exception:  # whatever a family's config says of names that it does not expect
        kept = False
    if not kept:
        write_json(path, content)


def plainly_spelled(config: dict[str, Any], *, may_have_both: bool) -> dict[str, Any] | None:
    """What ``write_earlier_spellings`` makes of a config's content, told without transformers.

    Args:
        config: content of ``config.json``.
        may_have_both: whether models of this type are known to read both as version 5's alone,
            where rotary settings are not scaled.

    Returns:
        The content; ``None`` where transformers has to say.
    """
    added = _with_spellings(config)
    rotary = config.get("rope_parameters") or {}
    unscaled = rotary.keys() == {"rope_theta", "rope_type"} and rotary["rope_type"] == "default"
    return added if added == config or (may_have_both and unscaled) else None


def _with_spellings(config: dict[str, Any]) -> dict[str, Any]:
    """The config with rotary settings in version 4's names too, in configs inside it as well."""
    result = {
        name: _with_spellings(value)
        if name.endswith("_config") and isinstance(value, dict)
        else value
        for name, value in config.items()
    }
    rotary = config.get("rope_parameters")
    if not isinstance(rotary, dict):
        return result
    local = rotary.get("sliding_attention")
    if isinstance(local, dict) and isinstance(rotary.get("full_attention"), dict):
        result.setdefault("rope_local_base_freq", local.get("rope_theta"))
        rotary = rotary["full_attention"]
    if not isinstance(rotary.get("rope_theta"), int | float):
        return result
    result.setdefault("rope_theta", rotary["rope_theta"])
    if "partial_rotary_factor" in rotary:
        result.setdefault("partial_rotary_factor", rotary["partial_rotary_factor"])
    if rotary.get("rope_type", "default") != "default":
        kept = {name: value for name, value in rotary.items() if name != "rope_theta"}
        result.setdefault("rope_scaling", kept)
    return result


def _plain(config: PretrainedConfig) -> Any:
    """What a config says, without the names that were added."""

    def without(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: without(item) for name, item in value.items() if name not in _SPELLINGS}

    return json.loads(json.dumps(without(config.to_dict()), default=str))
