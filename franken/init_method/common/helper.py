"""Initialisers that read the rows of a helper model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback, Head, HelperOptions, Rescale

with later():
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map import output_heads
    from franken.token_map.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.row_norms import finish_norms
    from franken.token_map.token_map import TokenMap


@dataclass
class HelperInit(InitMethod, HelperOptions):
    """What initialisers that read a helper's rows have in common."""

    fallback: Fallback = Fallback.normal
    """Rule for tokens without a vector."""

    def needs(self) -> frozenset[str]:
        return frozenset({"helper"})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.copy_overlap:
            yield "copy_overlap", "false leaves no anchors: the shared tokens are what is copied"

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor | None:
        """With ``head: global_map`` or ``random``, output rows that no weights make."""
        return output_heads.own_rows(token_map, source, self.head, part)


@dataclass
class AnchorInit(HelperInit):
    """Helper initialisers of which each is one rule: the weights of tokens over anchors."""

    head: Head = Head.helper_head

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Fit the map; errors as in :mod:`franken.init_method.salt`."""
        builder = MapBuilder(source, target, self, seed, resources.device)
        helper = check_helper(builder, resources)
        put_by_helper(builder, helper, lambda space: self.weigh(space, builder))
        return finish_norms(builder.build_with_fallback(self.fallback), source.input, Rescale.none)

    def weigh(self, space: HelperSpace, builder: MapBuilder) -> Coordinates:
        """Weights of ``space.token_rows`` over ``space.anchor_rows``, of one part of the table."""
        raise NotImplementedError(f"{type(self).__name__} is no method of its own")
