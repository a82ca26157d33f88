"""``hydra``: one body with several tables, which reads one vocabulary and writes another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.composition.hydra import HydraModel, TableRouter
from franken.errors import ConfigError
from franken.library.origin import (
    check_objects,
    check_related,
    lineage_of,
    origin_of,
    table_of,
    twin,
)
from franken.parts.control_tokens import configs_of, control_tokens_of


def hydra(
    body: PreTrainedModel,
    tables: Mapping[str, Any],
    *,
    body_tokenizer: PreTrainedTokenizerBase | None = None,
    languages: Mapping[str, str] | None = None,
    scripts: Mapping[str, Sequence[str]] | None = None,
    default: str | None = None,
) -> HydraModel:
    """Assemble a Hydra LLM (Trans-Tokenization 4).

    Args:
        body: the body; its own vocabulary takes part only if it is among ``tables``. It stays as it
            is, and its parameters are shared.
        tables: name (e.g. a language) -> what ``transfer`` returned, a pair (model, tokenizer), or
            a ``Table``.
        body_tokenizer: what the special ids in the body's configs refer to. Default: the tokenizer
            beside ``body`` among the tables.
        languages: further languages and tags -> name of the table that serves them.
        scripts: name -> Unicode scripts that go to it where a text has no tag.
        default: table of everything else. Default: the first.

    Returns:
        The model: ``view(write=, read=)`` is one way to use it.

    Raises:
        CompatibilityError: where a table was made for another base, or names clash.
        ConfigError: for no table at all, or one whose tokenizer is not known.
    """
    if not tables:
        raise ConfigError("hydra: tables= is empty; give at least one, by name")
    check_objects("hydra", body=body)
    lineage = lineage_of(body)
    made = {}
    for name, what in tables.items():
        owner = what[0] if isinstance(what, tuple) else getattr(what, "model", what)
        if isinstance(owner, PreTrainedModel) and owner is not body:
            check_related(body, owner, "hydra", f"tables[{name!r}]")
        made[name] = replace(table_of(what, "hydra", f"tables[{name!r}]"), lineage=lineage)
        if owner is body and body_tokenizer is None:
            body_tokenizer = made[name].tokenizer
    origin = origin_of(body)
    if body_tokenizer is None and origin is not None:
        body_tokenizer = origin.tokenizer
    names = tuple(made)
    router = TableRouter(
        names, dict(languages or {}), {k: tuple(v) for k, v in (scripts or {}).items()},
        names[0] if default is None else default,
    )  # fmt: skip
    previous = body_tokenizer and control_tokens_of(configs_of(body), body_tokenizer)
    return HydraModel(twin(body), made, lineage=lineage, router=router, previous=previous or None)
