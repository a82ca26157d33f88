"""Copy the overlap; every other row is the mean source row."""

from __future__ import annotations

from collections.abc import Iterator

from franken.declare import option
from franken.init_method.base import OverlapInit


@option
class CopyOnlyInit(OverlapInit):
    """Copy the rows of shared pieces; every other row is the mean source row."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.copy_overlap:
            yield "copy_overlap", "false leaves nothing to copy; that is init_method=mean"
