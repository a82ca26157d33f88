"""The name of a step's result: a hash of everything that can change it."""

import dataclasses
import json
import math
import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from franken.errors import ConfigError
from franken.files import hash_json

KEY_LENGTH = 32
"""Hex digits of a key: 128 bits."""
KEY_PATTERN = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")
KIND_PATTERN = re.compile(r"[a-z][a-z0-9_-]*")
RESERVED_KINDS = frozenset({"locks", "scratch", "damaged"})


def canonical(value: Any, where: str, *, lenient: bool = False) -> Any:
    """Reduce ``value`` to plain JSON, so that equal content has one form.

    Enums become their values, tuples lists, sets sorted lists, dataclasses mappings; whole floats
    become integers (``1.0`` and ``1`` are one number) and ``-0.0`` is ``0``.

    Args:
        value: what to reduce.
        where: dotted place of ``value``, for the message.
        lenient: for notes that are stored but not hashed: floats keep their form; NaN, infinities,
            paths and names of mappings become strings.

    Raises:
        ConfigError: on content that JSON cannot hold, naming where it stands.
    """
    match value:
        case Enum():
            return canonical(value.value, where, lenient=lenient)
        case None | bool():
            return value
        case str():
            return _text(value, where)
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return _number(float(value), where, lenient)
        case Mapping():
            return {
                _name(name, where, lenient): canonical(item, f"{where}.{name}", lenient=lenient)
                for name, item in value.items()
            }
        case list() | tuple():
            return [canonical(v, f"{where}[{i}]", lenient=lenient) for i, v in enumerate(value)]
        case set() | frozenset():
            items = [canonical(item, f"{where}{{}}", lenient=lenient) for item in value]
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        case os.PathLike():
            if lenient:
                return _text(os.fspath(value), where)
            raise ConfigError(
                f"{where} is a path ({os.fspath(value)!r}): paths do not enter a key, because the "
                "same file may stand elsewhere. Give the hash of its content instead."
            )
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [item.name for item in dataclasses.fields(value)]
        members = {name: getattr(value, name) for name in names}
        return canonical(members, where, lenient=lenient)
    raise ConfigError(
        f"{where} holds a {type(value).__qualname__} ({str(value)[:60]!r}), which JSON cannot "
        "hold. Expected None, bool, int, float, str, an enum, a dataclass, a list or a "
        "mapping of these."
    )


def _text(value: Any, where: str) -> str:
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{where} is {text!r}, which is not valid Unicode text (a lone surrogate at position "
            f"{error.start}). Give it as UTF-8."
        ) from None
    return text


def _name(name: Any, where: str, lenient: bool) -> str:
    if isinstance(name, Enum):
        name = name.value
    if lenient:
        name = str(name)
    if not isinstance(name, str):
        raise ConfigError(
            f"{where} has the key {name!r} of type {type(name).__qualname__}; expected a string."
        )
    return _text(name, where)


def _number(value: float, where: str, lenient: bool) -> Any:
    if not math.isfinite(value):
        if lenient:
            return str(value)
        raise ConfigError(f"{where} is {value}, which JSON cannot hold. Use null for 'no limit'.")
    return int(value) if value.is_integer() and not lenient else value


@dataclass(frozen=True)
class StepKey:
    """What a step is made from, and the hash of that.

    Two keys are equal when ``kind`` and ``key`` are.
    """

    kind: str
    key: str
    spec: dict[str, Any] = field(compare=False, repr=False)
    """Everything hashed: kind, version, config, inputs (name -> key), seed and what was added."""

    @classmethod
    def of(
        cls,
        kind: str,
        version: int | str,
        *,
        config: Any = None,
        inputs: Mapping[str, Any] | None = None,
        seed: int | None = None,
        **also: Any,
    ) -> "StepKey":
        """Compute the key of a step.

        Args:
            kind: what the step does; also the directory name in the store.
            version: code version of the step, raised when its results change.
            config: the resolved slice of the config that the result depends on.
            inputs: name of the input -> its ``StepKey``, ``Artifact`` or key string.
            seed: the seed, or None where nothing random happens.
            also: further content that enters the key, such as ``files={"train": sha256}``
                or ``precision``; None is left out.

        Raises:
            ConfigError: on a bad kind, an input that is no key, or content that is not JSON.
        """
        if not KIND_PATTERN.fullmatch(kind) or kind in RESERVED_KINDS:
            raise ConfigError(
                f"step kind {kind!r} cannot be a directory of the store: expected lower-case "
                f"letters, digits, '_' or '-', and none of {', '.join(sorted(RESERVED_KINDS))}."
            )
        keys = {name: _key_of(value, kind, name) for name, value in (inputs or {}).items()}
        parts = {"version": version, "config": config, "inputs": keys, "seed": seed}
        parts |= {name: value for name, value in also.items() if value is not None}
        spec = {"kind": kind, **canonical(parts, f"step {kind!r}: spec")}
        return cls(kind=kind, key=key_of_spec(spec), spec=spec)

    @property
    def short(self) -> str:
        """The first 12 digits, as listings show them."""
        return self.key[:12]

    @property
    def inputs(self) -> dict[str, str]:
        """Name of each input -> its key."""
        return dict(self.spec.get("inputs") or {})


def key_of_spec(spec: Mapping[str, Any]) -> str:
    """The key of a canonical spec."""
    return hash_json(spec)[:KEY_LENGTH]


def _key_of(value: Any, kind: str, name: str) -> str:
    key = value if isinstance(value, str) else getattr(value, "key", None)
    if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
        raise ConfigError(
            f"input {name!r} of step {kind!r} is {str(value)[:60]!r}; expected a StepKey, an "
            f"Artifact or a key of {KEY_LENGTH} hex digits."
        )
    return key
