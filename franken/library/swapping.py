"""``swap``: the table of one model on the body of another of the same ancestry."""

from dataclasses import replace
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import ConfigError
from franken.library.origin import (
    check_objects,
    check_related,
    lineage_of,
    mark,
    origin_of,
    table_of,
    tokenizer_of,
    twin,
)
from franken.parts.special_rows import with_special_rows
from franken.parts.surgery import put_table, take_table
from franken.parts.table import Table

_RULES = ("from_donor", "from_adapted")
_adapted_table = table_of


def swap(
    body_model: PreTrainedModel,
    *,
    table_of: Any,
    tokenizer: PreTrainedTokenizerBase | None = None,
    body_tokenizer: PreTrainedTokenizerBase | None = None,
    special_rows: str | None = None,
    share_body: bool = True,
) -> PreTrainedModel:
    """Put the vocabulary of an adapted model on another body (Franken-Adapter 2.6).

    Args:
        body_model: e.g. the instruct model; it stays as it is.
        table_of: the adapted model; also what ``transfer`` returned, or a ``Table``.
        tokenizer: that of the adapted model, where it does not come from franken.
        body_tokenizer: that of the body. With it the control tokens' rows, the chat template and
            the meaning of end tokens can be those of the body.
        special_rows: whose rows the control tokens take: ``from_donor`` (the body's, which knows
            its own turn markers) or ``from_adapted``. Default: the body's where ``body_tokenizer``
            is known, else the adapted model's.
        share_body: the result shares the body's parameters; ``False`` copies them.

    Returns:
        The assembled model. ``mounted``, ``hydra`` and ``swap`` know its tokenizer.

    Raises:
        CompatibilityError: where widths or heads differ, or the two bodies are no relatives.
        ConfigError: for an unknown rule, or a tokenizer that is needed and not known.
    """
    if special_rows not in (None, *_RULES):
        raise ConfigError(f"swap: special_rows is {special_rows!r}; valid: {', '.join(_RULES)}")
    check_objects("swap", body_model=body_model)
    table = _table(table_of, tokenizer)
    adapted = (
        table_of if isinstance(table_of, PreTrainedModel) else getattr(table_of, "model", None)
    )
    if adapted is not None:
        check_related(body_model, adapted, "swap", "table_of")
    if body_tokenizer is None and (origin := origin_of(body_model)) is not None:
        body_tokenizer = origin.tokenizer
    rule = special_rows or ("from_adapted" if body_tokenizer is None else "from_donor")
    if rule == "from_donor":
        own = tokenizer_of(body_model, body_tokenizer, "swap", "body_tokenizer")
        table = with_special_rows(table, take_table(body_model, own, lineage=table.lineage))
    result: PreTrainedModel = twin(body_model, share_body=share_body)
    put_table(result, table, previous=body_tokenizer)
    mark(result, table.tokenizer, lineage_of(body_model))
    return result


def _table(what: Any, tokenizer: PreTrainedTokenizerBase | None) -> Table:
    if tokenizer is not None and isinstance(what, PreTrainedModel):
        what = (what, tokenizer)
    table = _adapted_table(what, "swap", "table_of")
    return table if tokenizer is None else replace(table, tokenizer=tokenizer)
