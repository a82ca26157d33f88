"""A model's weights by canonical name, wherever they lie: checkpoint, body and table, or memory."""

import hashlib
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from franken.parts import safetensors_file
from franken.parts.anatomy import Anatomy, anatomy_of, is_tied, text_config
from franken.parts.checkpoint import Checkpoint
from franken.parts.config_edits import PADDING_ROWS
from franken.parts.fingerprint import body_fingerprint, body_tensors
from franken.parts.safetensors_file import TensorRange
from franken.parts.table import open_table
from franken.parts.tokenizer_files import load_tokenizer, token_count

BLOCK_BYTES = 8 << 20
"""Rows are read in blocks of about this many bytes."""


class Weights(Protocol):
    """Tensors of one model, each once: a tied head is not listed beside its embedding."""

    anatomy: Anatomy
    tied: bool

    @property
    def body(self) -> str:
        """Fingerprint of the body; empty where it is not known."""
        ...

    def names(self) -> list[str]:
        """Names as in the model's ``state_dict``, sorted."""
        ...

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        ...

    def dtype(self, name: str) -> torch.dtype:
        """Number format of a tensor."""
        ...

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a tensor with at least one dimension."""
        ...

    def tensor(self, name: str) -> Tensor:
        """A whole tensor."""
        ...

    def padding_rows(self) -> int:
        """Rows at the end of the table that belong to no token; 0 where that is not known."""
        ...


class StoredWeights:
    """Weights in safetensors files; a tensor or some rows are read when asked for."""

    def __init__(
        self, places: dict[str, tuple[Path, TensorRange]], anatomy: Anatomy, *, tied: bool,
        body: Path | None = None, tokenizer: Path | None = None,
    ) -> None:  # fmt: skip
        self._places, self._tokenizer, self._body = places, tokenizer, body
        self.anatomy, self.tied = anatomy, tied

    @cached_property
    def body(self) -> str:
        """Taken when it is asked for: of two models that are compared, one is enough."""
        return "" if self._body is None else body_fingerprint(self._body, self.anatomy)

    @classmethod
    def of_checkpoint(cls, directory: Path) -> "StoredWeights":
        """The tensors of a checkpoint in transformers layout, sharded or not."""
        checkpoint = Checkpoint(directory)
        anatomy = checkpoint.anatomy()
        places = _body_places(checkpoint, anatomy)
        tied = checkpoint.tied()
        for name in anatomy.table_tensors:
            stored = checkpoint.stored_name(name)
            if stored is None and tied and name == anatomy.input_embedding:
                stored = checkpoint.stored_name(anatomy.output_head)
            if stored is None or (tied and name == anatomy.output_head):
                continue
            places[name] = (checkpoint.shard_of(stored), checkpoint.range(stored))
        return cls(places, anatomy, tied=tied, body=Path(directory), tokenizer=Path(directory))

    @classmethod
    def of_parts(cls, body: Path, table: Path | None) -> "StoredWeights":
        """The tensors of a body directory and, if given, of a table directory."""
        checkpoint = Checkpoint(body)
        anatomy = checkpoint.anatomy()
        places, tied = _body_places(checkpoint, anatomy), is_tied(checkpoint.config())
        if table is not None:
            opened = open_table(table)
            tied = opened.description["tied"]
            names = {
                "input": anatomy.input_embedding, "output": anatomy.output_head,
                "output_bias": anatomy.head_bias or "",
            }  # fmt: skip
            for part, item in opened.ranges.items():
                places[names[part]] = (opened.weights, item)
        return cls(places, anatomy, tied=tied, body=body, tokenizer=table)

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        """From the header."""
        return self._places[name][1].shape

    def dtype(self, name: str) -> torch.dtype:
        """From the header."""
        return self._places[name][1].dtype

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Read these rows and nothing else."""
        path, item = self._places[name]
        return safetensors_file.read_rows(path, item, start, stop)

    def tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        return safetensors_file.read_tensor(*self._places[name])

    def padding_rows(self) -> int:
        """As the tokenizer beside the weights says."""
        if self._tokenizer is None or not (self._tokenizer / "tokenizer.json").is_file():
            return 0
        rows = self.shape(self.anatomy.input_embedding)[0]
        return max(rows - token_count(load_tokenizer(self._tokenizer)), 0)


class LoadedWeights:
    """Weights of a model in memory, shared with it."""

    def __init__(self, model: Any, *, body: str = "") -> None:
        self.anatomy, self.body = anatomy_of(model.config), body
        self._padding = int(getattr(text_config(model.config), PADDING_ROWS, 0))
        self._tensors: dict[str, Tensor] = dict(named_weights(model))
        self.tied = self.anatomy.output_head not in self._tensors

    def names(self) -> list[str]:
        """Sorted."""
        return sorted(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the parameter."""
        return tuple(self._tensors[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        """Of the parameter."""
        return self._tensors[name].dtype

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """A view, on the CPU."""
        return self._tensors[name].detach()[start:stop].cpu()

    def tensor(self, name: str) -> Tensor:
        """A view, on the CPU."""
        return self._tensors[name].detach().cpu()

    def padding_rows(self) -> int:
        """As the config declares."""
        return self._padding


def _body_places(checkpoint: Checkpoint, anatomy: Anatomy) -> dict[str, tuple[Path, TensorRange]]:
    prefix = f"{anatomy.backbone}."
    names = body_tensors(checkpoint, anatomy)
    bare = not any(name.startswith(prefix) for name in names)
    return {
        f"{prefix}{name}" if bare else name: (checkpoint.shard_of(name), checkpoint.range(name))
        for name in names
    }


def named_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """All parameters of a model, each once, by the names that its files and tables have.

    A tied matrix is called as the input embedding, though some masked models list the head first.
    """
    anatomy = anatomy_of(model.config)  # type: ignore[arg-type]
    every = dict(model.named_parameters(remove_duplicate=False))
    first = [anatomy.input_embedding, anatomy.head_bias, anatomy.output_head]
    wanted = {id(every[name]): name for name in reversed(first) if name in every}
    return {
        name: parameter for name, parameter in every.items()
        if wanted.setdefault(id(parameter), name) == name
    }  # fmt: skip


def row_blocks(weights: Weights, name: str) -> Iterator[tuple[int, Tensor]]:
    """``(first row, rows)`` of a tensor in blocks; a scalar comes as it is."""
    shape = weights.shape(name)
    if not shape or shape[0] == 0:
        yield 0, weights.tensor(name)
        return
    width = weights.dtype(name).itemsize
    for extent in shape[1:]:
        width *= extent
    step = max(1, BLOCK_BYTES // max(width, 1))
    for start in range(0, shape[0], step):
        yield start, weights.rows(name, start, min(start + step, shape[0]))


def tensor_digest(weights: Weights, name: str, dtype: torch.dtype | None = None) -> str:
    """Number format and first 16 hex digits of the sha256 over dtype, shape and bytes.

    Args:
        weights: holds the tensor.
        name: of the tensor.
        dtype: take the digest in this format, e.g. that in which the tensor was once stored.
    """
    return _digests(weights, name, [dtype or weights.dtype(name)])[0]


def _digests(weights: Weights, name: str, dtypes: list[torch.dtype]) -> list[str]:
    """``tensor_digest`` in several formats, of one reading."""
    shape = weights.shape(name)
    digests = [hashlib.sha256(f"{dtype} {shape}\n".encode()) for dtype in dtypes]
    for _, rows in row_blocks(weights, name):
        for digest, dtype in zip(digests, dtypes, strict=True):
            raw: Any = rows.to(dtype).contiguous().reshape(-1).view(torch.uint8).numpy()
            digest.update(raw)
    codes = [str(dtype).removeprefix("torch.") for dtype in dtypes]
    return [
        f"{code}:{digest.hexdigest()[:16]}" for code, digest in zip(codes, digests, strict=True)
    ]


_NARROWER = (torch.bfloat16, torch.float16, torch.float32)


def base_digests(weights: Weights, name: str) -> dict[str, Any]:
    """What a pack remembers of a base tensor.

    Returns:
        ``base``: its digest (``tensor_digest``); ``narrow``: number format of fewer bytes -> digest
        of the tensor rounded to it, by which a model loaded in that format is recognised.
    """
    stored = weights.dtype(name)
    narrow = [
        dtype for dtype in _NARROWER
        if dtype.itemsize < stored.itemsize and stored.is_floating_point
    ]  # fmt: skip
    own, *others = _digests(weights, name, [stored, *narrow])
    if not others:
        return {"base": own}
    return {"base": own, "narrow": dict(text.split(":") for text in others)}


def kind_of_tensor(name: str, shape: tuple[int, ...], anatomy: Anatomy) -> str:
    """``table``, ``attention``, ``mlp``, ``vector`` (norms, biases) or ``other``."""
    if anatomy.is_table_tensor(name):
        return "table" if len(shape) > 1 else "vector"
    if len(shape) < 2:
        return "vector"
    inside = re.sub(rf"^{re.escape(anatomy.layers)}\.\d+\.", "", name)
    module = inside.rpartition(".")[0]
    if module in anatomy.attention.values():
        return "attention"
    if module in anatomy.feed_forward.values():
        return "mlp"
    return "other"
