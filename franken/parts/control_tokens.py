"""Special-token ids of model and generation configs, carried over to another vocabulary by name."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from franken.errors import CompatibilityError
from franken.parts.config_edits import unique_configs
from franken.parts.stored_tokenizer import ROLES, StoredTokenizer
from franken.parts.tokenizer_files import special_roles

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers import PreTrainedTokenizerBase as Tokenizer

logger = logging.getLogger(__name__)

_OTHER_FIELDS = ("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id")
_MEDIA_ENDS = ("_token_id", "_token_ids", "_token_index")
ID_FIELDS = (*(f"{role}_token_id" for role in ROLES), *_OTHER_FIELDS)
_SEQUENCES = (
    "suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "force_words_ids", "sequence_bias",
)  # fmt: skip
"""Fields of generation configs that hold ids in lists, lists of lists, or keys of a mapping."""


def is_id_field(name: str) -> bool:
    """Whether a field of a config may hold ids of tokens."""
    return name in ID_FIELDS or name in _SEQUENCES or name.endswith(_MEDIA_ENDS)


@dataclass(frozen=True)
class ControlTokens:
    """What the ids in a model's configs mean: enough to carry them to another vocabulary."""

    roles: dict[str, str] = field(default_factory=dict)
    """Role -> token string in the old tokenizer."""
    names: dict[int, str] = field(default_factory=dict)
    """Id that a config mentions -> token string in the old tokenizer."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"roles": self.roles, "names": {str(key): name for key, name in self.names.items()}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ControlTokens:
        """The inverse of ``to_json``."""
        return cls(dict(value["roles"]), {int(key): name for key, name in value["names"].items()})


def control_tokens_of(
    configs: Iterable[Any], tokenizer: Tokenizer | StoredTokenizer
) -> ControlTokens:
    """Names of the ids that configs mention; ids that are no token are left out."""
    parts = _parts(configs)
    mentioned = {
        index
        for part in parts
        for name in ID_FIELDS
        for index in _as_list(getattr(part, name, None))
    }
    mentioned |= {
        index for part, name in _media_fields(parts) for index in _as_list(vars(part)[name])
    }
    mentioned |= {
        index for part, name in _sequence_fields(parts) for index in _ids_in(vars(part)[name])
    }
    if isinstance(tokenizer, StoredTokenizer):
        strings = tokenizer.strings(mentioned)
    else:
        strings = {index: token for token, index in tokenizer.get_vocab().items()}
    return ControlTokens(
        special_roles(tokenizer),
        {index: strings[index] for index in sorted(mentioned) if index in strings},
    )


def configs_of(model: PreTrainedModel) -> list[Any]:
    """The configs of a model that hold token ids, each once."""
    return unique_configs(model.config, getattr(model, "generation_config", None))


def carry_over(
    configs: Iterable[Any],
    tokenizer: Tokenizer | StoredTokenizer,
    previous: ControlTokens | None,
) -> None:
    """Set every special-token id in ``configs`` to its meaning in ``tokenizer``, in place.

    With ``previous``, each id goes by role if its token had the role in the old tokenizer, else by
    its string; lists (several end tokens) keep their order. An unset id stays unset, unless the
    role is new with this tokenizer. Without ``previous``, roles come from ``tokenizer`` alone.
    A token that the new vocabulary lacks is dropped with a warning. Ids by which a multimodal model
    knows where an image goes (``image_token_index``, ``boi_token_index``, ...) go by string.
    Configs inside a config follow where they share its vocabulary.

    Raises:
        CompatibilityError: as ``check_carry_over``, before anything is changed.
    """
    configs = list(configs)
    parts = _parts(configs)
    translate = _Translation(tokenizer, previous)
    moved = [(part, name, _moved(part, name, translate)) for part, name in _media_fields(parts)]
    for part, name, value in moved:
        setattr(part, name, value)
    outer = {id(config) for config in configs}
    for part in parts:
        for role in ROLES:
            if id(part) in outer:
                _carry_role(part, role, translate)
            elif previous is not None and f"{role}_token_id" in vars(part):
                _carry_field(part, f"{role}_token_id", translate, role)
        if not _is_model_config(part) or previous is not None:
            for name in _OTHER_FIELDS:
                _carry_field(part, name, translate)
    for part, name in _sequence_fields(parts) if previous is not None else []:
        _carry_sequences(part, name, translate)


def check_carry_over(
    configs: Iterable[Any],
    tokenizer: Tokenizer | StoredTokenizer,
    previous: ControlTokens | None,
) -> None:
    """Refuse a vocabulary that lacks a token by which the model knows where other media go.

    Raises:
        CompatibilityError: names the field and the token. Nothing is changed.
    """
    translate = _Translation(tokenizer, previous)
    for part, name in _media_fields(_parts(configs)):
        _moved(part, name, translate)


def _parts(configs: Iterable[Any]) -> list[Any]:
    """The configs, and those inside them that have no vocabulary of their own, each once."""
    found: list[Any] = []
    waiting = list(configs)
    sizes = {getattr(part, "vocab_size", None) for part in waiting} - {None}
    while waiting:
        part = waiting.pop(0)
        if any(part is other for other in found):
            continue
        found.append(part)
        for value in vars(part).values() if _is_model_config(part) else ():
            own = getattr(value, "vocab_size", None)
            if _is_model_config(value) and (own is None or own in sizes):
                waiting.append(value)
    return found


def _is_model_config(part: Any) -> bool:
    """Whether it describes a model, not how one generates."""
    return hasattr(part, "get_text_config")


def _media_fields(parts: Iterable[Any]) -> list[tuple[Any, str]]:
    """Fields that hold the id of a token besides the roles."""
    return [
        (part, name)
        for part in parts
        for name, value in vars(part).items()
        if name.endswith(_MEDIA_ENDS) and name not in ID_FIELDS and _as_ids(value)
    ]


def _sequence_fields(parts: Iterable[Any]) -> list[tuple[Any, str]]:
    return [(part, name) for part in parts for name in _SEQUENCES if vars(part).get(name)]


def _ids_in(value: Any) -> Iterator[int]:
    """Every id in nested lists, or in the keys of a mapping; weights beside them are floats."""
    if type(value) is int:
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value:
            yield from _ids_in(item)


def _carry_sequences(part: Any, name: str, translate: _Translation) -> None:
    """Each id of a list, or each list of ids, moves; what has no counterpart is left out."""

    def moved(item: Any) -> Any:
        if type(item) is int:
            return translate(item, None)
        if not isinstance(item, list | tuple):
            return item  # a weight
        inner = [moved(one) for one in item]
        return None if None in inner else type(item)(inner)

    value = vars(part)[name]
    pairs = [(moved(item), value[item] if isinstance(value, dict) else None) for item in value]
    kept = [pair for pair in pairs if pair[0] is not None]
    if len(kept) < len(pairs):
        logger.warning(
            "%s.%s: %d of %d entries have no counterpart in the new vocabulary; dropped",
            type(part).__name__, name, len(pairs) - len(kept), len(pairs),
        )  # fmt: skip
    setattr(
        part, name, (dict(kept) if isinstance(value, dict) else [key for key, _ in kept]) or None
    )


def _moved(part: Any, name: str, translate: _Translation) -> Any:
    """The field's value in the new vocabulary; an id that was no token stays what it is."""
    value = vars(part)[name]
    if translate.previous is None:
        raise CompatibilityError(
            f"{type(part).__name__}.{name} is {value}; which token that was is not known, so it "
            "cannot follow it into the new vocabulary. Give the tokenizer that the model had "
            "(previous)"
        )
    names = translate.previous.names
    new = []
    for index in _as_list(value):
        token = names.get(index)
        if token is not None and token not in translate.vocabulary:
            raise CompatibilityError(
                f"{type(part).__name__}.{name} is {index}, the token {token!r}, which the new "
                "vocabulary lacks; the model would look for it in vain. Keep the token (it is one "
                "of the special tokens), or load the text model alone"
            )
        if token is None and index in translate.strings:
            raise CompatibilityError(
                f"{type(part).__name__}.{name} is {index}, which was no token before and is "
                f"{translate.strings[index]!r} in the new vocabulary; the model would take that "
                "text for other media. Load the text model alone"
            )
        new.append(index if token is None else translate.vocabulary[token])
    return type(value)(new) if isinstance(value, list | tuple) else new[0]


def _as_ids(value: Any) -> bool:
    listed = value if isinstance(value, list | tuple) else [value]
    return bool(listed) and all(type(item) is int and item >= 0 for item in listed)


class _Translation:
    """Old id -> new id, and role -> new id."""

    def __init__(
        self, tokenizer: Tokenizer | StoredTokenizer, previous: ControlTokens | None
    ) -> None:
        self.vocabulary = tokenizer.get_vocab()
        self.strings = {index: token for token, index in self.vocabulary.items()}
        self.roles = {
            role: self.vocabulary[token]
            for role, token in special_roles(tokenizer).items()
            if token in self.vocabulary
        }
        self.previous = previous
        self.role_of = {} if previous is None else _inverse(previous.roles)

    def is_new_role(self, role: str) -> bool:
        return self.previous is None or role not in self.previous.roles

    def __call__(self, index: int, role: str | None) -> int | None:
        name = None if self.previous is None else self.previous.names.get(index)
        if name is None:
            return None
        # One string may have several roles (pad = eos): the field's own role comes first.
        roles = self.role_of.get(name, [])
        for candidate in sorted(roles, key=lambda other: other != role):
            if candidate in self.roles:
                return self.roles[candidate]
        return self.vocabulary.get(name)


def _carry_role(config: Any, role: str, translate: _Translation) -> None:
    name = f"{role}_token_id"
    if not hasattr(config, name):
        return
    value = getattr(config, name)
    if translate.previous is None:
        if isinstance(value, list) and len(value) > 1:
            logger.warning(
                "%s had %s = %s; what these ids meant is unknown, only the tokenizer's %s is kept",
                type(config).__name__, name, value, role,
            )  # fmt: skip
        new = translate.roles.get(role)
        setattr(config, name, [new] if isinstance(value, list) and new is not None else new)
    elif value is None:
        if translate.is_new_role(role):
            setattr(config, name, translate.roles.get(role))
    else:
        _carry_field(config, name, translate, role)


def _carry_field(config: Any, name: str, translate: _Translation, role: str | None = None) -> None:
    value = getattr(config, name, None)
    if value is None:
        return
    new = []
    for index in _as_list(value):
        moved = translate(index, role)
        if moved is None:
            logger.warning(
                "%s.%s holds %d, which has no counterpart in the new vocabulary; dropped",
                type(config).__name__, name, index,
            )  # fmt: skip
        elif moved not in new:
            new.append(moved)
    if isinstance(value, list):
        setattr(config, name, new or None)
    else:
        setattr(config, name, new[0] if new else None)


def _as_list(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(index) for index in value] if isinstance(value, list | tuple) else [int(value)]


def _inverse(roles: dict[str, str]) -> dict[str, list[str]]:
    by_name: dict[str, list[str]] = {}
    for role, name in roles.items():
        by_name.setdefault(name, []).append(role)
    return by_name
