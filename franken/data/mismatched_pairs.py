"""A data source whose sentence pairs were aligned badly, to see what that does to training."""

from collections.abc import Iterator

from franken.data.derived_source import DerivedSource
from franken.data.source import TRAIN, DataSource, Pair


class Mismatched(DerivedSource):
    """Another source in all but the role ``parallel``, some of whose pairs are none."""

    def __init__(self, source: DataSource, share: float) -> None:
        """Args: see below.

        Args:
            source: the source behind.
            share: of the training pairs that get the target side of another one; the first of
                them is left out.
        """
        super().__init__(source)
        self._share = share

    def difference(self) -> float:
        """The share."""
        return self._share

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """Evenly spread wrong pairs, each with the target side of the wrong one before it."""
        before: str | None = None
        for number, pair in enumerate(self._source.pairs(lang, split)):
            wrong = int((number + 1) * self._share) > int(number * self._share)
            if split != TRAIN or not wrong:
                yield pair
                continue
            if before is not None:
                yield Pair(pair.source, before)
            before = pair.target
