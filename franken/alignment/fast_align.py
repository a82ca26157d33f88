"""fast_align (Dyer et al. 2013) as RAMEN calls it, in the tree.

``fast_align -d -v -I 10`` both ways, then grow-diag-final-and: :mod:`franken.alignment.ibm1` with a
prior for the diagonal, and a sparse Dirichlet prior on p(target | source), whose mean field update
is ``exp(digamma(count + alpha) - digamma(sum of count + alpha))`` over the target words that a
source word meets. The release also tunes the diagonal's tension (``-o``), which stays here where
fast_align begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from franken.alignment.base import Symmetry
from franken.alignment.ibm1 import Ibm1Alignment
from franken.declare import option
from franken.lazy import later

with later():
    import numpy as np

    from franken.alignment.common.link_index import sums_of_runs


@option
class FastAlignAlignment(Ibm1Alignment):
    """Model 1 with a diagonal, variational Bayes, both directions brought together (fast_align)."""

    em_updates: int = 10
    """EM updates in each direction."""
    tension: float = 4.0
    """Preference for links near the diagonal; fast_align begins with 4. 0 is Model 1."""
    symmetrise: Symmetry = Symmetry.grow_diag_final_and
    """For the links: with another value than ``none`` both directions are trained."""
    alpha: float = 0.01
    """Dirichlet prior of each word pair (``-a``): small values make a word keep few partners."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not 0.0 < self.alpha < math.inf:
            yield "alpha", f"must be a finite number above 0, got {self.alpha}"

    def maximise(self, counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Variational Bayes; the rows sum to less than 1, as in fast_align."""
        from scipy.special import digamma

        posterior = counts + self.alpha
        totals = digamma(sums_of_runs(posterior, sizes))
        found: np.ndarray = np.exp(digamma(posterior) - np.repeat(totals, sizes))
        return found
