"""Expected counts of links that both directions believe in (Liang, Taskar & Klein 2006).

p(target | source) and p(source | target) each say how probable a link is, given its sentence pair.
Where both are trained apart, a rare word takes whatever is left of its sentence, since it has
nothing else to explain; the other direction knows better. Counted is the product of both.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csc_array

from franken.alignment.common.link_index import LinkIndex
from franken.alignment.common.sorting import in_order


class Agreement:
    """Where the links and pairs of one direction are in the other's index."""

    def __init__(self, forward: LinkIndex, backward: LinkIndex) -> None:
        """Find them.

        Args:
            forward: of p(target | source), all links in place.
            backward: of p(source | target).
        """
        self._forward, self._times = forward, backward.rows.times
        _, by_target = in_order(forward.targets)
        self._backward_pairs = np.empty(len(by_target), np.int32)
        self._backward_pairs[by_target] = np.arange(len(by_target), dtype=np.int32)
        self._rows: list[np.ndarray] = []
        self._priors: list[np.ndarray | None] = []
        rows = forward.rows
        for chunk in forward.chunks:
            sentences = rows.sentences[chunk.rows]
            words = forward.first_sources[sentences] + chunk.places
            self._rows.append(backward.rows.of_text[words])
            if chunk.prior is None or backward.diagonal is None:
                self._priors.append(None)
                continue
            places = rows.first[chunk.rows] - backward.first_sources[sentences]
            self._priors.append(chunk.prior * backward.diagonal.prior(self._rows[-1], places))

    def expected(
        self, forward: np.ndarray, backward: np.ndarray, of_forward: np.ndarray,
        of_backward: np.ndarray,
    ) -> Iterator[np.ndarray]:  # fmt: skip
        """Counts of the pairs of each chunk: sums over links of the product of both posteriors.

        Args:
            forward: ``(P,)`` p(target | source).
            backward: ``(P,)`` p(source | target), in the order of its own index.
            of_forward: ``(R,)`` what a probability is multiplied by to have the expected count.
            of_backward: likewise of the other direction's rows.
        """
        of_one = of_backward / self._times
        for chunk, rows, prior in zip(self._forward.chunks, self._rows, self._priors, strict=True):
            shares = of_one[rows]
            if prior is not None:
                shares *= prior
            shape = (len(of_forward), len(chunk.ends) - 1)
            counts = csc_array((shares, chunk.rows, chunk.ends), shape=shape).T @ of_forward
            counts *= forward[chunk.pairs]
            counts *= backward[self._backward_pairs[chunk.pairs]]
            yield counts

    def turned(self, counts: np.ndarray) -> np.ndarray:
        """``(P,)`` counts in the order of the other direction's pairs."""
        found = np.empty_like(counts)
        found[self._backward_pairs] = counts
        return found
