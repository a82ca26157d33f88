"""A causal language model seen as a stack of layers whose parts can be read and patched."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from franken.errors import CompatibilityError
from franken.eval_suite.readout import Readout, read_out
from franken.inference.xtransplant.choices import Site
from franken.parts.anatomy import Anatomy, anatomy_of, text_config

Change = Callable[[Tensor], Tensor]


@dataclass
class Host:
    """A model made ready for transplants; ``open_host`` makes it.

    ``layer_tokens`` counts tokens through layers (one token through one layer is one), by hooks
    that live as long as the host; ``close`` removes them.
    """

    model: Any
    backbone: nn.Module
    layers: Sequence[nn.Module]
    anatomy: Anatomy
    readout: Readout
    layer_tokens: int = 0
    _hooks: ExitStack = field(default_factory=ExitStack)

    @property
    def depth(self) -> int:
        """N, the number of layers."""
        return len(self.layers)

    @property
    def device(self) -> torch.device:
        """Where inputs go."""
        return self.readout.device

    @property
    def config(self) -> Any:
        """The text tower's config."""
        return text_config(self.model.config)

    def states(self, **inputs: Any) -> Tensor:
        """``(B, L, D)`` states after the final norm."""
        states: Tensor = self.backbone(use_cache=True, **inputs).last_hidden_state
        return states

    def last_logits(self, states: Tensor) -> Tensor:
        """``(B, V)`` float32 logits of the last position: no other is ever formed."""
        return self.readout.logits(states[:, -1])

    def module(self, layer: int, site: Site) -> nn.Module:
        """The module of a layer whose output a transplant replaces."""
        return site_module(self.layers[layer], self.anatomy, site)

    @contextmanager
    def patched(self, layer: int, site: Site, change: Change) -> Iterator[None]:
        """While open, the output ``o`` of a site becomes ``change(o)``."""

        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            return rebuilt(output, change(tensor_of(output)))

        handle = self.module(layer, site).register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def recorded(self, site: Site, keep: Change) -> Iterator[list[Tensor]]:
        """While open, ``keep`` of what each layer holds at a site is appended, layer by layer.

        ``mid_residual_added`` records the residual after attention. What is kept is cloned: an
        in-place sum elsewhere must not reach it (the defect of the release).
        """
        found: list[Tensor] = []
        with ExitStack() as stack:
            for layer in range(self.depth):
                inputs: list[Tensor] = []

                def before(module: Any, args: Any, kwargs: Any, at: Any = inputs) -> None:
                    at[:] = [args[0] if args else kwargs["hidden_states"]]

                def after(module: Any, args: Any, output: Any, at: Any = inputs) -> None:
                    tensor = tensor_of(output)
                    if site is Site.mid_residual_added:
                        tensor = at[0] + tensor
                    found.append(keep(tensor).detach().clone())

                if site is Site.mid_residual_added:
                    handle = self.layers[layer].register_forward_pre_hook(before, with_kwargs=True)
                    stack.callback(handle.remove)
                stack.callback(self.module(layer, site).register_forward_hook(after).remove)
            yield found

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Layer tokens spent inside do not count."""
        before = self.layer_tokens
        try:
            yield
        finally:
            self.layer_tokens = before

    def close(self) -> None:
        """Remove the counting hooks."""
        self._hooks.close()

    def _count(self, module: Any, args: Any, kwargs: Any) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        self.layer_tokens += states.shape[0] * states.shape[1]


def site_module(layer: nn.Module, anatomy: Anatomy, site: Site) -> nn.Module:
    """The module inside a layer whose output is that of a site.

    Raises:
        AttributeError: for a layer without it.
    """
    match site:
        case Site.block_out:
            return layer
        case Site.attn_out | Site.mid_residual_added:
            return layer.get_submodule(anatomy.attention["o"].split(".")[0])
        case Site.ffn_branch if anatomy.branch_norm:
            return layer.get_submodule(anatomy.branch_norm)
    return layer.get_submodule(anatomy.mlp or anatomy.feed_forward["down"])


def open_host(model: Any) -> Host:
    """Look into a transformers causal LM, also one wrapped by peft.

    Raises:
        CompatibilityError: for an unknown family, and for layers without separable attention or
            feed-forward outputs (linear attention, recurrent layers).
    """
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    anatomy = anatomy_of(core.config)
    config = text_config(core.config)
    kinds = set(getattr(config, "layer_types", None) or [])
    foreign = kinds - {"full_attention", "sliding_attention"}
    if foreign:
        raise CompatibilityError(
            f"model family {config.model_type!r} has layers of kind {', '.join(sorted(foreign))}; "
            "transplants need layers whose past is a key-value cache (full or sliding attention)"
        )
    layers = list(core.get_submodule(anatomy.layers))
    for number, layer in enumerate(layers):
        for site in (Site.ffn_out, Site.attn_out):
            try:
                site_module(layer, anatomy, site)
            except AttributeError as error:
                raise CompatibilityError(
                    f"layer {number} of model family {config.model_type!r} has no separable "
                    f"{site}: {error}; say where it is in franken/parts/anatomy.py"
                ) from None
    host = Host(core, core.get_submodule(anatomy.backbone), layers, anatomy, read_out(core))
    for layer in layers:
        handle = layer.register_forward_pre_hook(host._count, with_kwargs=True)
        host._hooks.callback(handle.remove)
    return host


def check_site(host: Host, site: Site) -> None:
    """Refuse a site that a family does not have.

    Raises:
        CompatibilityError: ``mid_residual_added`` where no such residual exists.
    """
    if site is not Site.mid_residual_added:
        return
    parallel = host.anatomy.parallel or getattr(host.config, "use_parallel_residual", False)
    if parallel or host.anatomy.branch_norm:
        why = "adds attention and feed-forward together" if parallel else "norms the branches"
        raise CompatibilityError(
            f"site=mid_residual_added: the family {host.anatomy.family!r} {why}, so the release's "
            "sum of attention output and residual has no counterpart; use site=attn_out"
        )


def tensor_of(output: Any) -> Tensor:
    """The hidden states in what a module returned: the tensor, or the first of a tuple."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def rebuilt(output: Any, tensor: Tensor) -> Any:
    """What a module returned, with other hidden states."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor
