"""CLP+: sparsemax over the helper's cosines with all shared tokens (Yamaguchi et al. 2024).

FOCUS with the helper's rows as auxiliary vectors (arXiv 2402.10712): a convex mixture of few
shared tokens. An untied head has weights of its own where the helper has a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import HelperInit
from franken.lazy import later
from franken.token_map.options import Head, Rescale

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
    from franken.token_map.builder import MapBuilder
    from franken.token_map.neighbours import sparsemax_neighbours
    from franken.token_map.resources import InitResources
    from franken.token_map.row_norms import finish_norms
    from franken.token_map.token_map import TokenMap


@option
class ClpPlusInit(HelperInit):
    """As clp, with few shared tokens and positive weights: sparsemax over the cosines (CLP+)."""

    paper: ClassVar[str] = "Yamaguchi et al. 2024, arXiv 2402.10712"

    head: Head = Head.helper_head
    temperature: float = 1.0
    """Divides the cosines; smaller is sparser."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("temperature", self.temperature, 1e-6)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; errors as in :mod:`franken.init_method.salt`."""

        def weigh(space: HelperSpace) -> Coordinates:
            found = sparsemax_neighbours(
                space.token_rows, space.anchor_rows, temperature=self.temperature
            )
            return found.rows, found.columns, found.weights

        builder = MapBuilder(source, target, self, seed, resources.device)
        put_by_helper(builder, check_helper(builder, resources), weigh)
        return finish_norms(builder.build_with_fallback(self.fallback), source.input, Rescale.none)
