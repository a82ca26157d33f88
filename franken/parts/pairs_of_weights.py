"""Two models of one shape: refused where they are not, aligned where only padding rows differ."""

import torch
from torch import Tensor

from franken.errors import CompatibilityError
from franken.parts.weights import Weights


def alike(base: Weights, tuned: Weights) -> Weights:
    """The tuned model's weights in the base's shapes; they may differ in rows without a token.

    Raises:
        CompatibilityError: where the two are no base and its tuned self: names the first tensor
            that only one has, or whose shape differs.
    """
    if base.tied != tuned.tied:
        raise CompatibilityError(
            f"the base has {'tied' if base.tied else 'untied'} embeddings, the tuned model "
            f"{'tied' if tuned.tied else 'untied'} ones; a pack needs both alike"
        )
    ours, theirs = set(base.names()), set(tuned.names())
    for only, owner in ((ours - theirs, "base"), (theirs - ours, "tuned model")):
        if only:
            raise CompatibilityError(
                f"only the {owner} has the tensor {min(only)!r} ({len(only)} such); a pack is the "
                "difference of two models of the same parts"
            )
    other = [name for name in sorted(ours) if base.shape(name) != tuned.shape(name)]
    for name in other:
        _check_padding(name, base, tuned)
    return PaddedLike(tuned, base) if other else tuned


def _check_padding(name: str, base: Weights, tuned: Weights) -> None:
    """Two shapes may differ in rows at the end that belong to no token."""
    hint, shapes = "", (base.shape(name), tuned.shape(name))
    if base.anatomy.is_table_tensor(name) and shapes[0][1:] == shapes[1][1:]:
        surplus = shapes[0][0] - shapes[1][0]
        owner = base if surplus > 0 else tuned
        spare = owner.padding_rows()
        if abs(surplus) <= spare:
            return
        hint = (
            f" ({spare} of these rows belong to no token, so this is another vocabulary: make a "
            "language pack, with a token map)"
        )
    raise CompatibilityError(
        f"{name!r} has shape {shapes[0]} in the base and {shapes[1]} in the tuned model{hint}"
    )


class PaddedLike:
    """A model's weights with as many padding rows as another: rows cut off, or taken from it."""

    def __init__(self, weights: Weights, other: Weights) -> None:
        self._own, self._other = weights, other
        self.anatomy, self.tied, self.body = weights.anatomy, weights.tied, weights.body

    def names(self) -> list[str]:
        """Sorted."""
        return self._own.names()

    def shape(self, name: str) -> tuple[int, ...]:
        """Of the other model."""
        return self._other.shape(name)

    def dtype(self, name: str) -> torch.dtype:
        """Of the model itself."""
        return self._own.dtype(name)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of the model; beyond its last one, those of the other."""
        count = self._own.shape(name)[0]
        if stop <= count:
            return self._own.rows(name, start, stop)
        beyond = self._other.rows(name, max(start, count), stop).to(self.dtype(name))
        if start >= count:
            return beyond
        return torch.cat([self._own.rows(name, start, count), beyond])

    def tensor(self, name: str) -> Tensor:
        """A whole tensor."""
        shape = self.shape(name)
        if shape == self._own.shape(name):
            return self._own.tensor(name)
        return self.rows(name, 0, shape[0])

    def padding_rows(self) -> int:
        """Of the other model."""
        return self._other.padding_rows()
