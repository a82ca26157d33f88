"""Plain YAML values into what the fields of a dataclass ask for, by the rules of OmegaConf."""

import copy
from collections.abc import Hashable
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from franken.config.checks import hint
from franken.errors import ConfigError


def typed_value(cls: Any, name: str, value: Any) -> Any:
    """What a field is to hold.

    Numbers, lists, mappings and members of enums become what the annotation says, as on the command
    line. A field that holds options takes options that are made already, or a mapping of those that
    are not as by default, where they are no choice among several (which have names).

    Args:
        cls: a dataclass.
        name: one of its fields.
        value: as read from YAML, or options.

    Raises:
        ValueError: where the value does not fit.
    """
    kinds, plain = _fields_of(cls)
    if any(map(is_dataclass, kinds[name])):
        if isinstance(value, kinds[name]):
            return value
        if isinstance(value, dict) and len(kinds[name]) == 1 and not _has_name(kinds[name][0]):
            return _from_mapping(kinds[name][0], value)
        wanted = " or ".join(kind.__name__ for kind in kinds[name])
        raise ValueError(f"must be a {wanted}, got {value!r} ({type(value).__name__})")
    node = copy.copy(plain)
    try:
        node[name] = value
    except OmegaConfBaseException as error:
        members = [member for kind in kinds[name] for member in getattr(kind, "__members__", ())]
        if members:
            raise ValueError(f"{value!r} is not valid.{hint(str(value), members)}") from None
        raise ValueError(str(error).partition("\n")[0]) from None
    made = node[name]
    return OmegaConf.to_object(made) if OmegaConf.is_config(made) else made


def _has_name(kind: Any) -> bool:
    return hasattr(kind, "name") or any(item.name == "name" for item in fields(kind))


def _from_mapping(kind: Any, values: dict[str, Any]) -> Any:
    known = [item.name for item in fields(kind)]
    for key in values:
        if key not in known:
            raise ValueError(f"has no {key!r}.{hint(str(key), known)}")
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except OmegaConfBaseException as error:
        place = f"{error.full_key}: " if error.full_key else ""
        raise ValueError(place + str(error).partition("\n")[0]) from None
    except ConfigError as error:
        raise ValueError(str(error)) from None


@cache
def _fields_of(cls: Hashable) -> tuple[dict[str, tuple[type, ...]], DictConfig]:
    """Field -> types that it takes; and those that hold no options, as a structured config."""
    known: Any = cls
    hints = get_type_hints(known)
    kinds = {item.name: _alternatives(hints[item.name]) for item in fields(known)}
    plain = [
        (name, hints[name], field(default="???"))
        for name, types in kinds.items()
        if not any(map(is_dataclass, types))
    ]
    return kinds, OmegaConf.structured(make_dataclass("Fields", plain))


def _alternatives(kind: Any) -> tuple[type, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
