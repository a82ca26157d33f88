"""What franken remembers of a model that it made: its tokenizer, and the base it descends from."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import CompatibilityError, ConfigError
from franken.parts.fingerprint import model_fingerprint
from franken.parts.surgery import take_table
from franken.parts.table import Table

_PLACE = "_franken_origin"
_RELATED = 0.5
"""Cosine of the weights of two bodies below which they are strangers; a fine-tuned body is at 0.9
and more, an unrelated one at 0."""
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Origin:
    """Kept beside a model's modules; copies of the model share it."""

    tokenizer: PreTrainedTokenizerBase
    lineage: str

    def __deepcopy__(self, memo: Any) -> "Origin":
        return self


def check_objects(call: str, **given: Any) -> None:
    """Refuse what is no transformers object where one is needed.

    Args:
        call: the function that is called.
        given: argument -> value; names that end in ``tokenizer`` are tokenizers, others models.

    Raises:
        ConfigError: names the first at fault and its type, and how to load one.
    """
    for name, value in given.items():
        if name.endswith("tokenizer"):
            sound, kind = isinstance(value, PreTrainedTokenizerBase), "AutoTokenizer"
        else:
            sound, kind = hasattr(value, "get_input_embeddings"), "AutoModelForCausalLM"
        if not sound:
            raise ConfigError(
                f"{call}: {name} is a {type(value).__name__}; expected a transformers "
                f"{'tokenizer' if kind == 'AutoTokenizer' else 'model'}, as "
                f"{kind}.from_pretrained(...) gives"
            )


def mark(model: Any, tokenizer: PreTrainedTokenizerBase, lineage: str) -> None:
    """Note tokenizer and lineage of a model."""
    object.__setattr__(model, _PLACE, Origin(tokenizer, lineage))


def origin_of(model: Any) -> Origin | None:
    """What was noted; ``None`` for a model from elsewhere."""
    found: Origin | None = vars(model).get(_PLACE)
    return found


def lineage_of(model: Any) -> str:
    """The base that a model descends from: as noted, else itself."""
    origin = origin_of(model)
    return model_fingerprint(model) if origin is None else origin.lineage


def tokenizer_of(model: Any, given: Any, call: str, argument: str = "tokenizer") -> Any:
    """The tokenizer that the caller gave, else the one that franken put on the model.

    Raises:
        ConfigError: where neither is known.
    """
    origin = origin_of(model)
    if given is None and origin is None:
        raise ConfigError(
            f"{call}: the model does not come from franken, so its tokenizer is not known; give "
            f"{argument}="
        )
    return given if given is not None or origin is None else origin.tokenizer


def table_of(what: Any, call: str, argument: str) -> Table:
    """A table from a result of ``transfer``, a pair (model, tokenizer), a model, or a table.

    Raises:
        ConfigError: for anything else, and for a model whose tokenizer is not known.
    """
    if isinstance(what, Table):
        return what
    if isinstance(what, tuple) and len(what) == 2:
        model, tokenizer = what
    elif isinstance(what, PreTrainedModel):
        model, tokenizer = what, tokenizer_of(what, None, call, f"(model, tokenizer) as {argument}")
    elif isinstance(getattr(what, "model", None), PreTrainedModel) and hasattr(what, "tokenizer"):
        model, tokenizer = what.model, what.tokenizer
    else:
        raise ConfigError(
            f"{call}: {argument} is a {type(what).__name__}; expected what transfer returned, a "
            "pair (model, tokenizer), or a Table"
        )
    return take_table(model, tokenizer, lineage=lineage_of(model))


def twin(model: Any, *, share_body: bool = True) -> Any:
    """A copy of a model whose vocabulary can be exchanged.

    Args:
        model: stays as it is.
        share_body: whether the copy has the same parameters and buffers, in modules of its own, so
            that it costs no memory; ``False``: a copy of everything.
    """
    shared = [*model.parameters(), *model.buffers()] if share_body else []
    return copy.deepcopy(model, {id(tensor): tensor for tensor in shared})


def check_related(body: Any, other: Any, call: str, argument: str) -> None:
    """Refuse two models whose bodies have nothing to do with each other.

    Raises:
        CompatibilityError: where shapes differ, or weights are no more alike than chance.
    """
    ours, theirs = dict(body.named_parameters()), dict(other.named_parameters())
    tables = {id(m.weight) for model in (body, other) for m in _embeddings(model)}
    matrices = [n for n, p in ours.items() if p.ndim == 2 and id(p) not in tables]
    for name in matrices:
        found = theirs[name].shape if name in theirs else None
        if found != ours[name].shape:
            raise CompatibilityError(
                f"{call}: {name!r} has shape {tuple(ours[name].shape)} in the body and "
                f"{None if found is None else tuple(found)} in {argument}; a table only fits "
                "bodies that descend from one base"
            )
    products = torch.zeros(3, dtype=torch.float64)
    for name in matrices:
        a, b = (_some(model[name]) for model in (ours, theirs))
        products += torch.stack([a @ b, a @ a, b @ b])
    cosine = float(products[0] / (products[1] * products[2]).sqrt().clamp_min(1e-300))
    if matrices and cosine < _RELATED:
        raise CompatibilityError(
            f"{call}: the weights of the body and of {argument} have a cosine of {cosine:.2f}; "
            "models that descend from one base are near 1, and a table only fits those"
        )


def _embeddings(model: Any) -> list[Any]:
    return [m for m in (model.get_input_embeddings(), model.get_output_embeddings()) if m]


def _some(parameter: torch.Tensor) -> torch.Tensor:
    flat = parameter.detach().reshape(-1)
    step = max(1, flat.numel() // _SAMPLE)
    return flat[::step].double().cpu()
