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


def typed_value(cls: Any, name: str, value: Any) -> Any:
    """What a field is to hold.

    Numbers, lists, mappings and members of enums become what the annotation says, as on the command
    line. A field that holds options takes options that are made already.

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
