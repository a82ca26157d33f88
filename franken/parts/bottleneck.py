"""Bottleneck adapters (MAD-X): small modules inside a frozen model, stacked by name.

Pfeiffer et al., EMNLP 2020, arXiv 2005.00052; places and tensor names are those of AdapterHub, so
its files load. ``A(x) = U relu(D x)`` is added

* ``pfeiffer``: to a layer's output where norms come first (Llama): ``y + A(y)``; in post-norm
  layers (BERT) to the sum ``s`` before the last norm N: ``N(s + A(N(s)))``;
* ``houlsby``: to the outputs of attention and feed-forward block, before the residual sum.

Invertible (NICE) parts act on the embeddings, and inverted on the last states where the head is
tied to them. Adapters of one model act in the order in which they were put in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import get_activation

from franken.errors import CompatibilityError
from franken.parts.anatomy import Anatomy, anatomy_of, is_tied, text_config

ADAPTER_MARK = "franken_adapters"
"""Part of the name of every adapter parameter."""
_POST_NORM = "output.LayerNorm"
"""Inside a layer of BERT's kind: the norm behind the feed-forward block and its residual sum."""


@dataclass(frozen=True)
class AdapterShape:
    """How an adapter is built; the options of ``training.PHASE.adapter``."""

    kind: str = "pfeiffer"
    """Or ``houlsby``."""
    reduction: float = 16.0
    activation: str = "relu"
    leave_out: Sequence[int] = ()
    invertible: bool = False
    invertible_reduction: float = 2.0


class Bottleneck(nn.Module):
    """``U relu(D x)``: width D to D / reduction and back; zero at the start, as U is.

    AdapterHub draws U, too; zeros begin at the model itself.
    """

    def __init__(self, width: int, reduction: float, activation: str) -> None:
        super().__init__()
        inner = max(1, int(width // reduction))
        down = nn.Linear(width, inner)
        self.adapter_down = nn.Sequential(down, get_activation(activation))
        self.adapter_up = nn.Linear(inner, width)
        nn.init.normal_(down.weight, std=0.02)
        for zero in (down.bias, self.adapter_up.weight, self.adapter_up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D)`` to what is added."""
        found: Tensor = self.adapter_up(self.adapter_down(x.to(self.adapter_up.weight.dtype)))
        return found.to(x.dtype)


class Coupling(nn.Module):
    """NICE: halves shifted by functions of each other; undone without any loss but rounding."""

    def __init__(self, width: int, reduction: float, activation: str) -> None:
        super().__init__()
        self.first = width // 2
        second = width - self.first
        inner = max(1, int(self.first // reduction))
        self.F = _shift(second, inner, self.first, activation)
        self.G = _shift(self.first, inner, second, activation)

    def forward(self, x: Tensor) -> Tensor:
        """``y1 = x1 + F(x2)``, ``y2 = x2 + G(y1)``."""
        one, two = self._halves(x)
        one = one + self.F(two)
        return torch.cat([one, two + self.G(one)], dim=-1).to(x.dtype)

    def inverse(self, y: Tensor) -> Tensor:
        """``x2 = y2 - G(y1)``, ``x1 = y1 - F(x2)``."""
        one, two = self._halves(y)
        two = two - self.G(one)
        return torch.cat([one - self.F(two), two], dim=-1).to(y.dtype)

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight: Any = self.F[0].weight
        x = x.to(weight.dtype)
        return x[..., : self.first], x[..., self.first :]


@dataclass(frozen=True)
class Site:
    """A place inside a layer where adapters act."""

    label: str
    """``output`` or ``attention``."""
    module: nn.Module
    around_norm: bool = False
    """Whether the module is a norm whose input is changed by what its output says."""


def add_adapter(
    model: PreTrainedModel, config: AdapterShape, name: str, *, seed: int = 0
) -> list[nn.Parameter]:
    """Put a fresh adapter into a model in place, behind those that are there.

    Args:
        model: a language model of a known family.
        config: kind, widths, layers without one, invertible part.
        name: of the adapter; taken once.
        seed: of the down-projections; the global generators stay as they were.

    Returns:
        Its parameters.

    Raises:
        CompatibilityError: where the name is taken, or a layer has no such place.
    """
    width = text_config(model.config).hidden_size
    return add_modules(
        model, config, name, lambda: Bottleneck(width, config.reduction, config.activation),
        seed=seed,
    )  # fmt: skip


def add_modules(
    model: PreTrainedModel, config: AdapterShape, name: str, make: Callable[[], nn.Module], *,
    seed: int,
) -> list[nn.Parameter]:  # fmt: skip
    """As :func:`add_adapter`, with modules of a caller's own at the places of the shape."""
    anatomy = anatomy_of(model.config)
    if name in adapter_names(model):
        raise CompatibilityError(f"the model has an adapter {name!r} already; choose another name")
    layers = list(model.get_submodule(anatomy.layers).children())
    left_out = {index % len(layers) for index in config.leave_out}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for index, layer in enumerate(layers):
            for site in _sites(layer, anatomy, config.kind) if index not in left_out else ():
                _stack_at(layer, site)[name] = make()
        if config.invertible:
            entrance: Any = model.get_input_embeddings()
            rows = entrance.weight.shape[1]
            _invertible_stack(model, anatomy)[name] = Coupling(
                rows, config.invertible_reduction, config.activation
            )
    found = list(adapter_parameters(model, name).values())
    for parameter in found:
        parameter.data = parameter.data.to(model.device)
    _mark(model, name)
    return found


def adapter_names(model: nn.Module) -> list[str]:
    """In the order in which they act."""
    names: list[str] = vars(model).get("_franken_adapter_names", [])
    return names


def adapter_parameters(model: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """Name in the model -> parameter, of one adapter."""
    return {
        key: parameter for key, parameter in model.named_parameters()
        if ADAPTER_MARK in key and key.rpartition(ADAPTER_MARK)[2].split(".")[1] == name
    }  # fmt: skip


def _mark(model: Any, name: str) -> None:
    object.__setattr__(model, "_franken_adapter_names", [*adapter_names(model), name])


def _shift(incoming: int, inner: int, outgoing: int, activation: str) -> nn.Sequential:
    last = nn.Linear(inner, outgoing)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(incoming, inner), get_activation(activation), last)


def _sites(layer: nn.Module, anatomy: Anatomy, kind: str) -> list[Site]:
    inside = dict(layer.named_modules())
    if kind == "pfeiffer":
        post = inside.get(_POST_NORM)
        return [Site("output", layer) if post is None else Site("output", post, True)]
    places = {"attention": anatomy.attention.get("o"), "output": anatomy.feed_forward.get("down")}
    missing = [label for label, path in places.items() if path not in inside]
    if missing:
        raise CompatibilityError(
            f"no projection that ends the {missing[0]} block was recognised in a layer of this "
            f"{anatomy.family} model; choose training.PHASE.adapter.kind=pfeiffer"
        )
    return [Site(label, inside[path]) for label, path in places.items() if path]


def _stack_at(layer: nn.Module, site: Site) -> nn.ModuleDict:
    """The adapters of a site, which its hook sends states through; made at the first call."""
    attribute = f"{ADAPTER_MARK}_{site.label}"
    held = dict(layer.named_children()).get(attribute)
    if isinstance(held, nn.ModuleDict):
        return held
    stack = nn.ModuleDict()
    layer.add_module(attribute, stack)
    module: Any = site.module
    if site.around_norm:
        plain = type(module).forward

        def before(norm: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            states = inputs[0]
            for adapter in stack.values():
                states = states + adapter(plain(norm, states))
            return (states, *inputs[1:])

        module.register_forward_pre_hook(before)
    else:

        def after(_: Any, __: Any, output: Any) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            for adapter in stack.values():
                states = states + adapter(states)
            return (states, *output[1:]) if isinstance(output, tuple) else states

        module.register_forward_hook(after)
    return stack


def _invertible_stack(model: PreTrainedModel, anatomy: Anatomy) -> nn.ModuleDict:
    backbone: Any = model.get_submodule(anatomy.backbone)
    held = dict(backbone.named_children()).get(f"{ADAPTER_MARK}_invertible")
    if isinstance(held, nn.ModuleDict):
        return held
    stack = nn.ModuleDict()
    backbone.add_module(f"{ADAPTER_MARK}_invertible", stack)
    # of encoders the embeddings' norm comes first, as in AdapterHub
    block = getattr(backbone, "embeddings", None) if anatomy.masked else None
    entrance: Any = model.get_input_embeddings() if block is None else block

    def into(_: Any, __: Any, rows: Tensor) -> Tensor:
        for coupling in stack.values():
            rows = coupling(rows)
        return rows

    def out_of(_: Any, __: Any, output: Any) -> Any:
        states = output.last_hidden_state
        couplings: list[Any] = list(stack.values())
        for coupling in reversed(couplings):
            states = coupling.inverse(states)
        output["last_hidden_state"] = states
        return output

    entrance.register_forward_hook(into)
    if is_tied(model.config):
        backbone.register_forward_hook(out_of)
    return stack
