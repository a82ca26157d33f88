"""Errors and comparisons of scores: what is known of a figure from the items that it was made of.

Imports no torch: evaluation and report share it. The same item in another language, or under
another seed, is one cluster; two systems are compared item by item.
"""

from franken.statistics.intervals import effective_trials, normal_interval, wilson_interval
from franken.statistics.paired import Comparison, compare, mcnemar
from franken.statistics.units import (
    Units,
    clustered_stderr,
    influences,
    pseudo_values,
    ratio,
)

__all__ = [
    "Comparison",
    "Units",
    "clustered_stderr",
    "compare",
    "effective_trials",
    "influences",
    "mcnemar",
    "normal_interval",
    "pseudo_values",
    "ratio",
    "wilson_interval",
]
