"""Copy the overlap; every other row is the mean source row."""

from __future__ import annotations

from collections.abc import Iterator

from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap


@option
class CopyOnlyInit(InitMethod):
    """Copy the rows of shared pieces; every other row is the mean source row."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.copy_overlap:
            yield "copy_overlap", "false leaves nothing to copy; that is init_method=mean"

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        return builder.build(Fallback.mean)
