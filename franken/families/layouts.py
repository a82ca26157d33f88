"""Known layouts: what discovery reads from a model, shipped as ``layouts.json``.

To find where a model's parts are, :mod:`franken.families.discovery` builds it, for which torch and
the modelling code of transformers must be imported: seconds, where a table on disk is exchanged in
one. ``python -m franken.families --write`` does so once for the default config of every type
(:mod:`franken.families.layout_writing`), and the findings are read here.

A layout counts where the checkpoint's own tensors prove it: every tensor of its body must be one
that such a model has, and none be lacking, layer for layer (:func:`body_digest`), its table must be
there, and nothing else may have a row per token. Whatever differs (another spelling, other options,
quantisation, code of its own, a model inside a model, facts that were registered from outside) is
read from the model as ever: ``None`` here is never an answer, only the lack of one.
"""

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from franken.families.anatomy import Anatomy
from franken.families.declared import GROUP

FILE = Path(__file__).with_name("layouts.json")
GENERATION_DEFAULTS = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"))
"""What a ``generation_config.json`` leaves out, of the ids that a new vocabulary may set."""

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_NOT_PLAIN = ("quantization_config", "auto_map", "is_encoder_decoder")


@dataclass(frozen=True)
class Layout:
    """What is known of models of one class without building one."""

    anatomy: Anatomy
    defaults: dict[str, Any]
    """Fields of the config that a vocabulary changes, for files that leave them out."""
    tokenizer: str
    """What makes ``AutoTokenizer`` read ``tokenizer.json`` as it stands beside such a model: the
    ``class`` that the file names, an ``auto_map`` besides, or ``none``: nothing that we know."""
    earlier_spellings: bool
    """Whether transformers 4's names of rotary settings may stand beside those of version 5."""


def layout_of(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Layout | None:
    """The layout of a checkpoint, where it is known and its tensors fit it exactly.

    Args:
        config: ``config.json`` as it stands.
        shapes: name -> shape of every stored tensor.
    """
    named = config.get("architectures")
    entry = _shipped().get(str(named[0])) if isinstance(named, list) and len(named) == 1 else None
    if entry is None or entry["type"] != config.get("model_type") or not is_plain(config):
        return None
    if {**entry["defaults"], **config}["tie_word_embeddings"] not in entry["tied"]:
        return None
    if entry_points(group=GROUP, name=entry["type"]):
        return None
    anatomy = Anatomy(family=entry["type"], **_frozen(entry["anatomy"]))
    stored = [_stored(name, anatomy, shapes) for name in anatomy.table_tensors]
    rows = shapes[stored[0]] if stored[0] else ()
    if len(rows) != 2 or (stored[1] and shapes[stored[1]] != rows):
        return None
    if anatomy.head_bias and (not stored[2] or shapes[stored[2]] != rows[:1]):
        return None
    body = anatomy.body_names(shapes)
    if any(rows[0] in shapes[name] for name in body) or body_digest(body, anatomy) != entry["body"]:
        return None
    return Layout(
        replace(anatomy, width=rows[1]), entry["defaults"], entry["tokenizer"], entry["rotary"]
    )


def is_plain(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` describes one text model, neither quantised nor with own code."""
    inside = any(name.endswith("_config") and isinstance(config[name], dict) for name in config)
    return not inside and not any(config.get(name) for name in _NOT_PLAIN)


def body_digest(names: Iterable[str], anatomy: Anatomy) -> str | None:
    """Tells whether two bodies have the same tensors by name, in every layer.

    Biases inside layers do not count: options give and take them, and nothing is read from them.

    Args:
        names: of the body's tensors.
        anatomy: of the model.

    Returns:
        16 hex digits; ``None`` where layers differ from each other, or there are none.
    """
    backbone = f"{anatomy.backbone}."
    in_layer = re.compile(re.escape(f"{anatomy.layers}.".removeprefix(backbone)) + r"(\d+)(\..+)")
    outside: set[str] = set()
    layers: dict[str, set[str]] = {}
    for name in names:
        bare = name.removeprefix(backbone)
        found = in_layer.fullmatch(bare)
        if found is None:
            outside.add(_NUMBER.sub("*", bare))
        elif not bare.endswith("bias"):
            layers.setdefault(found[1], set()).add(_NUMBER.sub("*", found[2]))
    kinds = {"\n".join(sorted(layer)) for layer in layers.values()}
    if len(kinds) != 1:
        return None
    text = "\n\n".join(("\n".join(sorted(outside)), *kinds))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _stored(name: str, anatomy: Anatomy, shapes: Mapping[str, Any]) -> str | None:
    return next((spelling for spelling in anatomy.spellings(name) if spelling in shapes), None)


@functools.cache
def _shipped() -> dict[str, dict[str, Any]]:
    """Name of the model's class -> what is known of it."""
    if not FILE.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_bytes())
    return found


def _frozen(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts of an anatomy as its fields have them: JSON has no tuples."""
    aliases = {name: tuple(others) for name, others in facts.get("aliases", {}).items()}
    return facts | {"aliases": aliases}
