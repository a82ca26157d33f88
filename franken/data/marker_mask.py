"""Tokens that stand for no text of their own: the markers around names (LEIA) have no loss."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from franken.config.data import NamesConfig
from franken.errors import CompatibilityError

Bool = npt.NDArray[np.bool_]


class MarkerMask:
    """Which tokens have no loss: the markers, and the names where they are not learnt."""

    def __init__(self, config: NamesConfig, vocabulary: Mapping[str, int]) -> None:
        """Args: ``config`` of the names, and token -> id.

        Raises:
            CompatibilityError: where the vocabulary lacks a marker.
        """
        missing = [marker for marker in config.markers if marker not in vocabulary]
        if missing:
            raise CompatibilityError(
                f"the mixture's `names.markers`: the vocabulary has no token {missing[0]!r}, so it "
                "would be cut into pieces and learnt as text; build it with vocab=named "
                f"vocab.tokens={list(config.markers)}"
            )
        self._opens, self._closes = (vocabulary[marker] for marker in config.markers)
        self._learnt = config.learnt

    def __call__(self, ids: npt.NDArray[np.int64], begins: Bool) -> Bool:
        """``(B, L)`` whether a token has no loss.

        A name whose first marker stands in an earlier sequence is learnt.

        Args:
            ids: ``(B, L)`` tokens.
            begins: ``(B, L)`` whether a piece of a document begins there.
        """
        opens, closes = ids == self._opens, ids == self._closes
        silent: Bool = opens | closes
        if self._learnt:
            return silent
        places = np.arange(ids.shape[1])
        opened = np.maximum.accumulate(np.where(opens, places, -1), axis=1)
        ended = np.maximum.accumulate(np.where(closes | begins, places, -1), axis=1)
        silent |= opened > ended
        return silent
