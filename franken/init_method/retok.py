"""ReTok (arXiv 2410.04335): new tables from the old ones, then trained with the body frozen.

The abstract says that the tables start "with the parameters of the original model"; that new tokens
start at the mean of their old pieces is inferred. This fits the start; the training is
``franken/training/learners/retok.py``. Thawing the body, the paper's second phase, is a step of a
recipe.
"""

from franken.token_map.start import fit_start as fit

__all__ = ["fit"]
