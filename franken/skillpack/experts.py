"""One model with several SkillPacks at hand, of which any can answer at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from franken.parts.skillpack import SkillPack, check_base
from franken.parts.weights import LoadedWeights, named_weights
from franken.skillpack.apply import grafted


class Experts:
    """The model without a pack (expert 0) and with each of its packs (1, 2, ..., by name).

    Changed tensors are kept merged, one copy per pack, so that changing the expert exchanges
    pointers: no arithmetic, and the way back restores every bit.
    """

    def __init__(self, model: Any, packs: Mapping[str, SkillPack], *, check: bool = True) -> None:
        """Merge every pack once.

        Args:
            model: a causal LM without adapters or mounted packs.
            packs: name -> pack of this very model.
            check: compare the model with the digests in the packs.

        Raises:
            CompatibilityError: where a pack was made on another base.
        """
        self.model = model
        self.names = ["none", *sorted(packs)]
        weights = LoadedWeights(model)
        if check:
            for pack in packs.values():
                check_base(pack, weights, narrower=True)
        self._parameters = named_weights(model)
        self._merged: list[dict[str, Tensor]] = [{}]
        for label in self.names[1:]:
            pack = packs[label]
            changed = {
                name: grafted(weights, name, [(pack, 1.0)])
                for name in pack.names()
                if pack.tensors[name]["form"] != "zero"
            }
            self._merged.append({
                name: tensor.to(self._parameters[name].device)
                for name, tensor in changed.items() if tensor is not None
            })  # fmt: skip
        touched = {name for merged in self._merged for name in merged}
        self._originals = {name: self._parameters[name].data for name in touched}
        self.active = 0

    def __len__(self) -> int:
        """Experts, the model without a pack among them."""
        return len(self.names)

    def activate(self, expert: int) -> None:
        """Let one expert answer from now on."""
        if expert == self.active:
            return
        for name in self._merged[self.active]:
            self._parameters[name].data = self._originals[name]
        for name, tensor in self._merged[expert].items():
            self._parameters[name].data = tensor
        self.active = expert

    @contextmanager
    def acting(self, expert: int) -> Iterator[Any]:
        """The model as this expert for the length of a block, then without a pack."""
        self.activate(expert)
        try:
            yield self.model
        finally:
            self.activate(0)

    def index(self, name: str | None) -> int:
        """Number of an expert by its pack's name; ``None``: 0."""
        return 0 if name is None else self.names.index(name)
