"""Several tables on one body: all vocabularies share one space of ids, the written one comes first.

Trans-Tokenization 4 (Hydra LLMs): ids of a further vocabulary get an offset, only the first
vocabulary can be produced. Unlike the authors' single matrix, tables stay apart, so that each can
be frozen, stored or joined by another one without touching the rest.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import CompatibilityError
from franken.parts.anatomy import anatomy_of
from franken.parts.config_edits import set_vocabulary
from franken.parts.control_tokens import ControlTokens, carry_over, configs_of
from franken.parts.surgery import check_fit
from franken.parts.table import Table, check_table
from franken.parts.tokenizer_files import token_count

IGNORED = -100


@dataclass(frozen=True)
class Layout:
    """Which ids belong to which table: ``[offset, offset + rows)``, in the order of the names."""

    names: tuple[str, ...]
    rows: tuple[int, ...]

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Table -> its first id."""
        return {name: sum(self.rows[:place]) for place, name in enumerate(self.names)}

    @property
    def total(self) -> int:
        """Ids in all."""
        return sum(self.rows)

    def shift(self, name: str, ids: Sequence[int]) -> list[int]:
        """A table's own ids as ids of the common space.

        Raises:
            CompatibilityError: for a table that is not here, or an id without a row.
        """
        if name not in self.offsets:
            raise CompatibilityError(
                f"no table {name!r} is read here; tables: {', '.join(self.names)}"
            )
        offset, rows = self.offsets[name], self.rows[self.names.index(name)]
        if ids and not 0 <= min(ids) <= max(ids) < rows:
            raise CompatibilityError(
                f"id {max(ids) if max(ids) >= rows else min(ids)} lies outside the {rows} rows of "
                f"table {name!r}"
            )
        return [index + offset for index in ids]

    def labels(self, ids: Tensor) -> Tensor:
        """``ids`` where the first table has them, -100 elsewhere."""
        return torch.where(ids < self.rows[0], ids, IGNORED)


class TableModule(nn.Module):
    """The rows of a table as modules of a family: what embeds, and what gives logits."""

    def __init__(
        self,
        embedding: nn.Module,
        head: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        lineage: str,
        provenance: dict[str, Any],
    ) -> None:
        super().__init__()
        self.embedding: Any = embedding
        self.head: Any = head
        self.tokenizer = tokenizer
        self.lineage, self.provenance = lineage, provenance
        self.frozen = False
        """Whether training leaves these rows alone."""

    @property
    def rows(self) -> int:
        """Rows, padding included."""
        return int(self.embedding.weight.shape[0])

    @property
    def tokens(self) -> int:
        """Rows that belong to tokens; those beyond are padding and never written."""
        return min(self.rows, token_count(self.tokenizer))

    @property
    def tied(self) -> bool:
        """Whether input and output are one parameter."""
        return self.head.weight is self.embedding.weight

    @property
    def bias(self) -> Tensor | None:
        """Bias of the head."""
        bias: Tensor | None = self.head.bias
        return bias

    def table(self) -> Table:
        """A copy of the rows, on the CPU."""

        def out(tensor: Tensor) -> Tensor:
            return tensor.detach().to("cpu", copy=True).contiguous()

        return Table(
            self.tokenizer,
            out(self.embedding.weight),
            None if self.tied else out(self.head.weight),
            None if self.bias is None else out(self.bias),
            self.lineage,
            self.provenance,
        )


def table_module(
    model: PreTrainedModel, table: Table, *, dtype: torch.dtype | None = None
) -> TableModule:
    """Rows of a table in copies of a model's own modules, so that input scales are kept.

    Args:
        model: of a known family; may hold a placeholder vocabulary (``load_body``).
        table: the rows; taken over without a copy where their format is ``dtype``.
        dtype: default: the table's own.

    Raises:
        CompatibilityError: where the table does not fit the model.
    """
    check_table(table)
    check_fit(model, table)
    embedding: Any = copy.deepcopy(model.get_input_embeddings())
    head: Any = copy.deepcopy(model.get_output_embeddings())
    device = model.device

    def parameter(tensor: Tensor) -> nn.Parameter:
        moved = tensor.detach().to(device=device, dtype=dtype or tensor.dtype).contiguous()
        return nn.Parameter(moved, requires_grad=False)

    embedding.weight = parameter(table.input)
    head.weight = embedding.weight if table.output is None else parameter(table.output)
    if table.output_bias is not None:
        head.bias = parameter(table.output_bias)
    embedding.num_embeddings = head.out_features = table.rows
    padded = any(
        isinstance(part, PreTrainedModel) and "padding_idx" in vars(part)
        for part in model.modules()
    )
    embedding.padding_idx = table.tokenizer.pad_token_id if padded else None
    made = TableModule(embedding, head, table.tokenizer, table.lineage, table.provenance)
    return made.eval()


class SegmentedEmbedding(nn.Module):
    """Input embeddings of several tables over one space of ids; ``forward`` takes ``(...)`` ids."""

    def __init__(self, layout: Layout, tables: Sequence[TableModule]) -> None:
        super().__init__()
        self.layout = layout
        self.members = nn.ModuleList(tables)
        self.written: tuple[str, ...] = layout.names[:1]
        """Tables whose ids may be labels in training."""

    def forward(self, ids: Tensor) -> Tensor:
        """``(..., D)`` rows, scaled as the family does; equal to each table's own lookup."""
        first: Any = self.members[0]
        if ids.numel() == 0 or int(ids.max()) < self.layout.rows[0]:  # generated ids
            own: Tensor = first.embedding(ids)
            return own
        ends = torch.tensor(self.layout.rows, device=ids.device).cumsum(0)
        owner = torch.bucketize(ids, ends, right=True)
        result: Tensor | None = None
        for place in owner.unique().tolist():
            member: Any = self.members[place]
            inside = owner == place
            rows = member.embedding(ids[inside] - self.layout.offsets[self.layout.names[place]])
            if result is None:
                result = rows.new_zeros((*ids.shape, rows.shape[-1]), dtype=self._widest())
            result[inside] = rows.to(result.dtype)
        assert result is not None
        return result

    def _widest(self) -> torch.dtype:
        """Trained tables are float32 beside frozen ones in half precision."""
        members: list[Any] = list(self.members)
        dtypes: list[torch.dtype] = [member.embedding.weight.dtype for member in members]
        return max(dtypes, key=lambda dtype: dtype.itemsize)


@dataclass(frozen=True)
class Head:
    """Output rows of one table, and the ids that they stand for."""

    first: int
    weight: Tensor
    bias: Tensor | None

    def own(self, ids: Tensor) -> Tensor:
        """Labels of the common space as rows of this head; -100 where another table has them."""
        inside = (ids >= self.first) & (ids < self.first + len(self.weight))
        return torch.where(inside, ids - self.first, IGNORED)


def segmented(model: Any) -> SegmentedEmbedding | None:
    """The model's input embeddings if they are of several tables."""
    embedding = model.get_input_embeddings()
    return embedding if isinstance(embedding, SegmentedEmbedding) else None


def written_heads(embedding: SegmentedEmbedding) -> list[Head]:
    """Heads of the tables whose ids may be labels."""
    members = dict(zip(embedding.layout.names, embedding.members, strict=True))
    found = []
    for name in embedding.written:
        member: Any = members[name]
        found.append(Head(embedding.layout.offsets[name], member.head.weight, member.head.bias))
    return found


def view_of(
    model: PreTrainedModel,
    tables: dict[str, TableModule],
    *,
    previous: ControlTokens | None = None,
    joint: bool = False,
) -> PreTrainedModel:
    """A causal language model that reads all of ``tables`` and writes the first.

    It shares every weight with ``model`` and the tables; only the modules on the way to the
    embeddings are shallow copies, so views of one body live side by side. With a single table the
    view is an ordinary model of its family.

    Args:
        model: a body, its own vocabulary unused.
        tables: name -> rows, the written one first.
        previous: what the special-token ids in the body's configs mean.
        joint: make a ``SegmentedEmbedding`` of a single table too.
    """
    names = tuple(tables)
    layout = Layout(names, tuple(tables[name].rows for name in names))
    writer = tables[names[0]]
    anatomy = anatomy_of(model.config)
    embedding = (
        writer.embedding
        if len(names) == 1 and not joint
        else SegmentedEmbedding(layout, [tables[name] for name in names])
    )
    view: PreTrainedModel = _with_module(
        model, anatomy.input_embedding.removesuffix(".weight"), embedding
    )
    view = _with_module(view, anatomy.output_head.removesuffix(".weight"), writer.head)
    view.config = copy.deepcopy(model.config)
    view.generation_config = copy.deepcopy(model.generation_config)
    set_vocabulary(
        view.config, rows=writer.rows, unused=writer.rows - writer.tokens, tied=writer.tied
    )
    parts: list[Any] = [view, view.get_submodule(anatomy.backbone)]
    for part in parts:
        if isinstance(vars(part).get("vocab_size"), int):
            part.vocab_size = writer.rows
    carry_over(configs_of(view), writer.tokenizer, previous)
    if len(names) == 1 and not joint:
        view.all_tied_weights_keys = view.get_expanded_tied_weights_keys(all_submodels=True)
    return view


def _with_module(model: Any, path: str, module: nn.Module) -> Any:
    """``model`` with another module at ``path``; what lies beside the path is shared."""
    result = _shallow(model)
    parent = result
    *above, leaf = path.split(".")
    for name in above:
        child = _shallow(parent._modules[name])
        parent._modules[name] = child
        parent = child
    if leaf not in parent._modules:
        raise CompatibilityError(f"{type(model).__name__} has no module {path!r}")
    parent._modules[leaf] = module
    return result


def _shallow(module: Any) -> Any:
    twin = copy.copy(module)
    twin.__dict__["_modules"] = dict(module._modules)
    return twin
