"""Target-language models whose embedding rows initialisers read; nothing else of them is kept.

An option is a file of this package, see :mod:`franken.declare`.
"""

from franken.lazy import later

with later(public=True):
    from franken.helper_model.checkpoint import read_helper
    from franken.helper_model.trained import HelperReport, train_helper

__all__ = ["HelperReport", "read_helper", "train_helper"]
