"""Initialisers: each fits a :class:`TokenMap`, and one engine applies it.

A method is a file of this package with a function ``fit`` and an option of the same name in
``conf/init_method/``; other packages add methods through the entry-point group
``franken.init_method``.
"""

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.config.init_method import InitMethodConfig
from franken.errors import CompatibilityError
from franken.init_method.registry import (
    load_given_rows,
    load_method,
    load_own_rows,
    load_save_beside,
    method_names,
)
from franken.parts.table import Table, check_table
from franken.token_map.closeness import closeness
from franken.token_map.engine import AppliedMap, apply_map, apply_to_bias
from franken.token_map.report import provenance_report
from franken.token_map.resources import InitResources
from franken.token_map.row_sources import ReaderRows
from franken.token_map.token_map import (
    DrawClasses,
    FallbackRule,
    MapLabels,
    Provenance,
    Reduce,
    TokenMap,
)

__all__ = [
    "AppliedMap",
    "DrawClasses",
    "FallbackRule",
    "InitResources",
    "MapLabels",
    "Provenance",
    "ReaderRows",
    "Reduce",
    "TokenMap",
    "apply_map",
    "apply_to_bias",
    "closeness",
    "fit_map",
    "initialise",
    "load_method",
    "load_save_beside",
    "method_names",
    "provenance_report",
]


def fit_map(
    source: Table,
    target_tokenizer: PreTrainedTokenizerBase,
    config: InitMethodConfig,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map of the method that the config names, and check it."""
    token_map = load_method(config.name)(source, target_tokenizer, config, resources, seed)
    token_map.validate()
    return token_map


def initialise(
    source: Table,
    target_tokenizer: PreTrainedTokenizerBase,
    config: InitMethodConfig,
    resources: InitResources,
    seed: int,
) -> tuple[Table, TokenMap]:
    """Make the first rows of a table for a new tokenizer.

    One map makes input embeddings, output embeddings (where they are not tied) and head bias.

    Args:
        source: the old table.
        target_tokenizer: tokenizer of the new one.
        config: options of the method; ``config.name`` chooses it.
        resources: lexicons and the like.
        seed: seed of all draws; equal seeds give equal bytes.

    Returns:
        The table, rows = highest token id + 1, in the dtype of ``source``, whose ``provenance`` is
        the report; and the map.

    Raises:
        CompatibilityError: where the source holds NaN, or the vocabularies cannot be joined.
        DataError: where the method lacks a resource.
    """
    check_table(source)
    token_map = fit_map(source, target_tokenizer, config, resources, seed)
    find = load_given_rows(config.name)

    def given(part: str) -> Tensor | None:
        return None if find is None else find(token_map, target_tokenizer, config, part)

    own = load_own_rows(config.name)

    def rows(part: str, old: Tensor) -> Tensor:
        made = None if own is None else own(token_map, source, config, part)
        return apply_map(token_map, old, part=part, given=given(part)) if made is None else made

    new_input = rows("input", source.input)
    output: Tensor | None = None
    if source.output is not None:
        output = rows("output", source.output)
    bias: Tensor | None = None
    if source.output_bias is not None:
        bias = apply_to_bias(token_map, source.output_bias, given=given("bias"))
    report = {"seed": seed, **provenance_report(token_map, new_input)}
    table = Table(target_tokenizer, new_input, output, bias, source.lineage, report)
    try:
        check_table(table)
    except CompatibilityError as error:
        raise CompatibilityError(
            f"init_method={config.name} made no usable table: {error}"
        ) from error
    return table, token_map
