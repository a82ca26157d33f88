"""The change of one tensor, and from it to its form, as a plan says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from franken.config.pack import PackConfig, operator_of
from franken.errors import ArtifactError
from franken.parts.forms import Form, LowRankForm, SumForm, ZeroForm
from franken.parts.forms.dense import exact_delta
from franken.parts.weights import BLOCK_BYTES, Weights
from franken.products import product
from franken.skillpack.policy import Plan

LARGE_BYTES = 256 << 20
"""A tensor that takes more than this in float32 is worked on block by block."""


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape is more than is held in float32."""
    return 4 * math.prod(shape) > LARGE_BYTES


@dataclass(frozen=True)
class Change:
    """``tuned - base`` of one tensor, computed in float32 when asked for."""

    base: Weights
    tuned: Weights
    name: str
    kept: Tensor | None = None
    """All of it in float32, where it was read already."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.base.shape(self.name)

    def blocks(self) -> Iterator[Tensor]:
        """The change in blocks of rows; a scalar as one block."""
        shape = self.shape
        if not shape:
            yield self.whole().reshape(1)
            return
        width = 4
        for extent in shape[1:]:
            width *= extent
        step = max(1, BLOCK_BYTES // max(width, 1))
        for start in range(0, shape[0], step):
            stop = min(start + step, shape[0])
            if self.kept is not None:
                yield self.kept[start:stop]
                continue
            rows = (self.name, start, stop)
            yield _difference(self.tuned.rows(*rows), self.base.rows(*rows))

    @property
    def large(self) -> bool:
        """Whether operators should go through the blocks rather than hold the whole."""
        return is_large(self.shape)

    def held(self) -> Change:
        """The same, read once for all that follows; a large one stays on disk."""
        return self if self.large else replace(self, kept=self.whole())

    def whole(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """All of it, not to be changed; of a large one no more is held than it and a block."""
        if self.kept is not None:
            return self.kept.to(dtype)
        if not self.large:
            found = _difference(self.tuned.tensor(self.name), self.base.tensor(self.name))
            return found.to(dtype)
        found, at = torch.empty(self.shape, dtype=dtype), 0
        for block in self.blocks():
            found[at : at + len(block)] = block
            at += len(block)
        return found

    def exact(self) -> Tensor:
        """What gives the tuned tensor back bit for bit.

        Raises:
            ArtifactError: where nothing does.
        """
        try:
            return exact_delta(self.base.tensor(self.name), self.tuned.tensor(self.name))
        except ArtifactError as error:
            raise ArtifactError(f"{self.name!r}: {error}") from error

    def culprit(self) -> str:
        """Which of the two models holds what is not finite; neither where their difference does."""
        for weights, owner in ((self.base, "base"), (self.tuned, "tuned model")):
            if not bool(weights.tensor(self.name).isfinite().all()):
                return f"the {owner}'s tensor"
        return "the difference of the tensors"


@dataclass(frozen=True)
class Residual:
    """A change that is in memory: what a table's rows have beside those of their token map."""

    values: Tensor
    """``(T, D)`` or ``(T,)`` float32."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return tuple(self.values.shape)

    def blocks(self) -> Iterator[Tensor]:
        """As one block."""
        yield self.values

    @property
    def large(self) -> bool:
        """False: it is in memory already."""
        return False

    def held(self) -> Residual:
        """Itself."""
        return self

    def whole(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """All of it."""
        return self.values.to(dtype)

    def exact(self) -> Tensor:
        """All of it."""
        return self.values

    def culprit(self) -> str:
        """Of the table."""
        return "the residual of the table"


@dataclass(frozen=True)
class Encoded:
    """A form and what is known of its accuracy."""

    form: Form
    squared_norm: float
    """``||delta||_F^2``"""
    squared_error: float
    notes: dict[str, object]

    def facts(self) -> dict[str, object]:
        """For the manifest."""
        share = self.squared_error / self.squared_norm if self.squared_norm else 0.0
        return {
            "relF": round(share**0.5, 8), "norm2": self.squared_norm, "error2": self.squared_error,
            **self.notes,
        }  # fmt: skip


def encode(
    change: Change | Residual, plan: Plan, policy: PackConfig, hessian: Tensor | None = None
) -> Encoded:
    """Compress one change.

    Args:
        change: of the tensor that the plan is about.
        plan: class, rule and columns; its operator is not ``skip``.
        policy: settings of the decomposition and of the rounding.
        hessian: ``(n, n)`` for GPTQ, n inputs. Tables and what signs leave have none: their vectors
            are rounded to the nearest; the manifest says which was done.

    Raises:
        ArtifactError: where the change holds NaN or infinite values.
        CompatibilityError: where GPTQ is asked for and a matrix of attention or MLP has no hessian.
    """
    change = change.held()
    if is_zero(change, plan.name):
        return Encoded(ZeroForm(plan.shape), 0.0, 0.0, {})
    form, notes = operator_of(plan.rule).encode(change, plan, policy, hessian)
    norm, error = _errors(change, form)
    return Encoded(form, norm, error, notes)


def is_zero(change: Change | Residual, name: str) -> bool:
    """Whether nothing changed.

    Raises:
        ArtifactError: where the change holds NaN or infinite values.
    """
    zero = True
    for block in change.blocks():
        least, most = map(float, block.aminmax()) if block.numel() else (0.0, 0.0)
        if not (math.isfinite(least) and math.isfinite(most)):
            raise ArtifactError(
                f"{change.culprit()} {name!r} holds values that are NaN or infinite; training has "
                "diverged, or the file is damaged: choose an earlier checkpoint"
            )
        zero = zero and least == most == 0.0
    return zero


def squared_norm(change: Change | Residual, name: str) -> float:
    """``||delta||_F^2`` of what is left out.

    Raises:
        ArtifactError: where the change holds NaN or infinite values.
    """
    if is_zero(change, name):
        return 0.0
    return sum(float(block.double().square().sum()) for block in change.blocks())


def deviation(change: Change | Residual) -> float:
    """Standard deviation over all entries."""
    count, total, squared = 0, 0.0, 0.0
    for block in change.blocks():
        wide = block.double()
        count += wide.numel()
        total, squared = total + float(wide.sum()), squared + float(wide.square().sum())
    return max(0.0, squared / count - (total / count) ** 2) ** 0.5 if count else 0.0


def _errors(change: Change | Residual, form: Form) -> tuple[float, float]:
    norm = error = 0.0
    if not change.shape:
        whole = change.whole().double()
        return float(whole.square()), float((whole - form.decode().double()).square())
    decode, at = row_decoder(form), 0
    for block in change.blocks():
        stop = at + len(block)
        flat = block.reshape(-1).double()
        norm += float(flat @ flat)
        flat -= decode(at, stop).reshape(-1)
        error += float(flat @ flat)
        at = stop
    return norm, error


def row_decoder(form: Form) -> Callable[[int, int], Tensor]:
    """Decodes rows ``[start, stop)`` of a form; what all rows share is decoded once."""
    if isinstance(form, LowRankForm):
        left, right = form.left() * form.sigma, form.right()
        return lambda start, stop: product(left[start:stop], right.T)
    if isinstance(form, SumForm):
        parts = [row_decoder(part) for part in (form.first, form.second)]
        return lambda start, stop: parts[0](start, stop) + parts[1](start, stop)
    return form.decode


def _difference(tuned: Tensor, base: Tensor) -> Tensor:
    """``tuned - base`` in float32, with one array of that size in memory beside the two."""
    if tuned.dtype == base.dtype == torch.float32:
        return tuned - base
    found = tuned.to(torch.float32, copy=True)
    found -= base if base.dtype.itemsize <= 4 else base.float()
    return found
