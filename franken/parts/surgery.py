"""Tables into models and out of them. Nothing else in the project assigns embedding weights."""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import CompatibilityError
from franken.parts.anatomy import anatomy_of, is_tied, text_config
from franken.parts.config_edits import refuse_moved_padding, set_vocabulary
from franken.parts.control_tokens import (
    ControlTokens,
    carry_over,
    check_carry_over,
    configs_of,
    control_tokens_of,
)
from franken.parts.rowless import set_aside_rowless
from franken.parts.special_rows import with_special_rows
from franken.parts.table import Table, check_table, pad_table
from franken.parts.tokenizer_files import token_count

__all__ = ["pad_table", "put_table", "take_table", "with_special_rows"]


def put_table(
    model: PreTrainedModel,
    table: Table,
    *,
    pad_to_multiple: int | None = None,
    previous: ControlTokens | PreTrainedTokenizerBase | None = None,
    keep_dtype: bool = False,
    copy: bool = True,
) -> None:
    """Replace a model's vocabulary: rows, sizes, tying, head bias, special-token ids.

    The modules stay (an embedding that scales keeps its scale), only their parameters change; an
    existing optimiser still holds the old ones. ``requires_grad`` is kept.

    Args:
        model: a causal language model of a known family, on any device.
        table: ``(T, D)`` rows; tied tables tie the model, untied ones untie it.
        pad_to_multiple: add rows up to a multiple of this, see ``pad_table``. The number of rows
            without a token is written to ``config.franken_padding_rows``.
        previous: what the ids in the configs meant so far, or the tokenizer they were made for;
            lists of end tokens can only be carried over with it.
        keep_dtype: keep the table's number format (a float32 table over a bfloat16 body) instead
            of the model's.
        copy: whether the model gets its own memory; ``False`` hands the table's over.

    Raises:
        CompatibilityError: where the table does not fit, before anything is changed.
    """
    if pad_to_multiple is not None:
        wider = pad_table(table, pad_to_multiple)
        table, copy = wider, copy and wider.input is table.input
    check_table(table)
    check_fit(model, table)
    if isinstance(previous, PreTrainedTokenizerBase):
        previous = control_tokens_of(configs_of(model), previous)
    check_carry_over(configs_of(model), table.tokenizer, previous)
    embedding, head = _modules(model)
    old = embedding.weight

    def assign(module: Any, name: str, value: Tensor, like: nn.Parameter) -> None:
        dtype = value.dtype if keep_dtype else old.dtype
        moved = value.detach().to(device=old.device, dtype=dtype, copy=copy).contiguous()
        fresh = nn.Parameter(moved, requires_grad=like.requires_grad)
        aside = head if like is old else embedding  # the other table is assigned by itself
        for owner, attribute in _holders(model, like):
            if owner is not aside:
                setattr(owner, attribute, fresh)
        setattr(module, name, fresh)

    assign(embedding, "weight", table.input, old)
    if table.output is not None:
        assign(head, "weight", table.output, old if head.weight is old else head.weight)
    if table.output_bias is not None:
        assign(head, "bias", table.output_bias, head.bias)
    embedding.num_embeddings = head.out_features = table.rows
    _set_sizes(model, table)
    _tie(model, tied=table.tied)
    carry_over(configs_of(model), table.tokenizer, previous)
    _set_padding_index(model)


def take_table(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, lineage: str, copy: bool = True
) -> Table:
    """A model's vocabulary, on the CPU, in the number format it has.

    Args:
        model: a causal language model of a known family.
        tokenizer: the tokenizer that the rows belong to; tokens without a row are set aside.
        lineage: fingerprint of the base body that the rows were made for.
        copy: whether the table gets its own memory; ``False``: that of a model on the CPU, to be
            read while the model stays as it is.
    """
    anatomy_of(model.config)
    embedding, head = _modules(model)
    table = Table(
        set_aside_rowless(tokenizer, embedding.weight.shape[0]),
        _on_cpu(embedding.weight, copy),
        None if head.weight is embedding.weight else _on_cpu(head.weight, copy),
        None if head.bias is None else _on_cpu(head.bias, copy),
        lineage,
        {"method": "taken", "family": model.config.model_type},
    )
    check_table(table)
    return table


def check_fit(model: PreTrainedModel, table: Table) -> None:
    """Refuse a table of another width than the body, or with a head bias where it has none."""
    anatomy = anatomy_of(model.config)
    embedding, head = _modules(model)
    hidden_size = embedding.weight.shape[1]
    if table.hidden_size != hidden_size:
        raise CompatibilityError(
            f"the table has rows of size {table.hidden_size}, the {anatomy.family} body needs "
            f"{hidden_size}; make the table for this body"
        )
    refuse_moved_padding(anatomy, model.config, table.tokenizer)
    if (head.bias is None) != (table.output_bias is None):
        raise CompatibilityError(
            f"the table has {'no' if table.output_bias is None else 'an'} output bias, but the "
            f"head of this {anatomy.family} model has {'none' if head.bias is None else 'one'}"
        )


def _modules(model: PreTrainedModel) -> tuple[Any, Any]:
    """The embedding module and the head."""
    return model.get_input_embeddings(), model.get_output_embeddings()


def _holders(model: PreTrainedModel, parameter: nn.Parameter) -> list[tuple[nn.Module, str]]:
    """Every module and attribute that hold a parameter (a head bias may have two names)."""
    return [
        (module, name)
        for module in model.modules()
        for name, held in module._parameters.items()
        if held is parameter
    ]


def _set_sizes(model: PreTrainedModel, table: Table) -> None:
    set_vocabulary(
        model.config,
        rows=table.rows,
        unused=table.rows - token_count(table.tokenizer),
        tied=table.tied,
    )
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and isinstance(vars(module).get("vocab_size"), int):
            module.vocab_size = table.rows


def _tie(model: PreTrainedModel, *, tied: bool) -> None:
    """Tie or untie explicitly, and check what came out of it."""
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)
    embedding, head = _modules(model)
    if tied:
        head.weight = embedding.weight
        model.tie_weights()
    shared = head.weight.data_ptr() == embedding.weight.data_ptr()
    if shared != tied or is_tied(model.config) != tied:
        raise AssertionError(f"tying failed: wanted tied={tied}, storage shared={shared}")


def _set_padding_index(model: PreTrainedModel) -> None:
    """Follow ``config.pad_token_id`` in the families whose embedding has a padding index."""
    index = getattr(text_config(model.config), "pad_token_id", None)
    embedding, _ = _modules(model)
    for module in model.modules():
        counts = hasattr(module, "position_embeddings")  # the embeddings of RoBERTa
        if (isinstance(module, PreTrainedModel) or counts) and "padding_idx" in vars(module):
            vars(module)["padding_idx"] = index
            embedding.padding_idx = index
            if counts:
                vars(module.position_embeddings)["padding_idx"] = index


def _on_cpu(tensor: Tensor, copy: bool) -> Tensor:
    return tensor.detach().to("cpu", copy=copy).contiguous()
