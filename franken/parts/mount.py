"""SkillPacks on a live model: put on, weighted, taken off again to the last bit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from franken.errors import CompatibilityError
from franken.parts.skillpack import SkillPack, check_base
from franken.parts.weights import LoadedWeights, named_weights


@dataclass
class _Mounted:
    pack: SkillPack
    weight: float
    only: frozenset[str] | None = None


@dataclass
class Mounts:
    """What is mounted on a model.

    ``W = cast(W_0 + sum_p weight_p delta_p)``: summed in float32 (float64 where a delta is)
    over the names in sorted order, cast once. ``W_0`` is kept, so that taking off restores every
    bit; a subtraction in bfloat16 would not. Parameters stay the same objects.
    """

    model: Any
    packs: dict[str, _Mounted] = field(default_factory=dict)
    _originals: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Any) -> "Mounts":
        """The one list of mounts of a model, made at the first call."""
        found = vars(model).get("_franken_mounts")
        if found is None:
            found = cls(model)
            object.__setattr__(model, "_franken_mounts", found)
        mounts: Mounts = found
        return mounts

    def mount(
        self, pack: SkillPack, *, weight: float = 1.0, name: str | None = None,
        check: bool = True, classes: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        """Add a pack.

        Args:
            pack: made on this very model.
            weight: factor of its change.
            name: under which it is taken off again; default: its own.
            check: compare the model's tensors with the digests of the pack's base. Switch it off
                only to try a pack on a relative.
            classes: class of the policy -> 0 leaves that class out, 1 takes it.

        Raises:
            CompatibilityError: where the pack belongs to another base, or the name is taken;
                nothing was changed then.
        """
        name = name or pack.name
        if name in self.packs:
            raise CompatibilityError(
                f"a pack is mounted as {name!r} already; unmount it, or choose another name"
            )
        parameters = self._parameters()
        missing = sorted(set(pack.names()) - set(parameters))
        if missing:
            raise CompatibilityError(
                f"pack {pack.name!r} changes {missing[0]!r}, which the model does not have "
                f"({len(missing)} such)"
            )
        if check:
            check_base(pack, _Originals(self), narrower=True)
        only = None
        if classes is not None:
            only = frozenset(
                tensor for tensor, item in pack.tensors.items() if classes.get(item["class"], 1.0)
            )
        self.packs[name] = _Mounted(pack, weight, only)
        self._rebuild(_changed(self.packs[name]))

    def unmount(self, name: str) -> None:
        """Take a pack off; what no other one changes is as it was, bit for bit."""
        if name not in self.packs:
            raise CompatibilityError(
                f"no pack is mounted as {name!r}; mounted: {', '.join(self.packs) or 'none'}"
            )
        self._rebuild(_changed(self.packs.pop(name)))

    def clear(self) -> None:
        """Take everything off."""
        for name in list(self.packs):
            self.unmount(name)

    @contextmanager
    def mounted(self, pack: SkillPack, **options: Any) -> Iterator[Any]:
        """The model with a pack on it, for the length of a block."""
        name = options.get("name") or pack.name
        self.mount(pack, **options)
        try:
            yield self.model
        finally:
            self.unmount(name)

    def original(self, name: str) -> Tensor:
        """A parameter without any pack."""
        found = self._originals.get(name)
        return self._parameters()[name].detach() if found is None else found

    def _parameters(self) -> dict[str, nn.Parameter]:
        """By the names of the plain model, adapters of PEFT around some layers or not."""
        return {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in named_weights(self.model).items()
        }

    def _rebuild(self, names: set[str]) -> None:
        parameters = self._parameters()
        wanted = {name: mounted for name, mounted in sorted(self.packs.items()) if mounted.weight}
        with torch.no_grad():
            for name in sorted(names):
                parameter = parameters[name]
                acting = [m for m in wanted.values() if name in _changed(m)]
                if not acting:
                    if name in self._originals:
                        parameter.copy_(self._originals.pop(name))
                    continue
                if name not in self._originals:
                    self._originals[name] = parameter.detach().clone()
                parameter.copy_(_total(self._originals[name], name, acting))


class _Originals(LoadedWeights):
    """The model as it was before anything was mounted."""

    def __init__(self, mounts: Mounts) -> None:
        super().__init__(mounts.model)
        self._tensors = {name: mounts.original(name) for name in mounts._parameters()}


def _changed(mounted: _Mounted) -> set[str]:
    """Parameters that a pack changes at all."""
    found = {name for name, item in mounted.pack.tensors.items() if item["form"] != "zero"}
    return found if mounted.only is None else found & mounted.only


def _total(original: Tensor, name: str, acting: list[_Mounted]) -> Tensor:
    """``W_0 + sum_p weight_p delta_p`` in the dtype of ``W_0``."""
    deltas = [(m.weight, m.pack.delta(name).to(original.device)) for m in acting]
    total = original.to(torch.promote_types(deltas[0][1].dtype, torch.float32))
    for weight, delta in deltas:
        total = total + (delta if weight == 1.0 else delta * weight)
    return total.to(original.dtype)
