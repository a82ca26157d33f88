"""A draft model: the layers of a small donor, the vocabulary of the model that it drafts for.

Speculative decoding wants a draft whose token ids mean what the target's do (transplant-vocab,
jukofyork). The donor's table is transplanted by an initialiser, by default the last donor piece
for what is read and a mean that decays from the first piece for what is written; roles go by role,
control tokens by name or by an override; layers may be dropped.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from franken.errors import ConfigError
from franken.init_method import initialise
from franken.init_method.base import InitMethod
from franken.parts.surgery import pad_table, put_table, take_table
from franken.parts.table import Table
from franken.parts.thinning import without_layers
from franken.token_map.resources import InitResources


def make_draft(
    donor: PreTrainedModel,
    donor_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    method: InitMethod,
    *,
    rows: int | None = None,
    drop_layers: Collection[int] = (),
    overrides: Mapping[str, str] | None = None,
    untie: bool = True,
    seed: int = 0,
) -> PreTrainedModel:
    """Give a donor the vocabulary of a target.

    Args:
        donor: a small causal language model; it is not changed.
        donor_tokenizer: its tokenizer.
        target_tokenizer: of the model to draft for.
        method: an initialiser that needs no side resources.
        rows: of the target's table, padding included: engines compare vocabulary sizes.
        drop_layers: numbers of layers to leave out.
        overrides: target token -> donor text that it stands for, such as marks of turns.
        untie: give the head rows of its own; what is read and what is written then differ.
        seed: of the initialiser's draws.

    Raises:
        ConfigError: for a layer or a token that is not there.
    """
    model = without_layers(donor, drop_layers)
    source = take_table(model, donor_tokenizer, lineage="draft")
    if untie and source.output is None:
        source = replace(source, output=source.input.clone())
    table, _ = initialise(source, target_tokenizer, method, InitResources("", []), seed)
    if overrides:
        override_rows(table, source, overrides, decay=getattr(method, "decay", 0.5))
    if rows is not None and rows > table.rows:
        table = pad_table(table, rows)
    put_table(model, table, previous=donor_tokenizer, copy=True)
    model.eval()
    return model


def override_rows(
    table: Table, source: Table, overrides: Mapping[str, str], *, decay: float
) -> None:
    """Set rows of target tokens to those of a donor text, in place.

    Args:
        table: the new one.
        source: the donor's.
        overrides: target token -> donor text.
        decay: factor per piece of the output side.

    Raises:
        ConfigError: for a token that the target lacks, or a text of no pieces.
    """
    vocabulary = table.tokenizer.get_vocab()
    for token, text in overrides.items():
        ids = source.tokenizer.encode(text, add_special_tokens=False)
        if token not in vocabulary or not ids:
            what = (
                "the target has no such token" if token not in vocabulary else f"{text!r} is empty"
            )
            raise ConfigError(f"override of {token!r}: {what}")
        weights = torch.tensor([decay**place for place in range(len(ids))])
        weights = (weights / weights.sum())[:, None]
        row = vocabulary[token]
        table.input[row] = source.input[ids[-1]]
        if table.output is not None:
            heads = source.input if source.output is None else source.output
            table.output[row] = (weights * heads[ids].float()).sum(0).to(table.output.dtype)
