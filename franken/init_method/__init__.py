"""Initialisers: each fits a :class:`TokenMap`, and one engine applies it.

A method is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share. Names below are imported when they are asked
for, so that reading the options imports no torch.
"""

from franken.lazy import later

with later(public=True):
    from franken.init_method.base import InitMethod, fit_map, initialise
    from franken.token_map.closeness import closeness
    from franken.token_map.engine import AppliedMap, apply_map, apply_to_bias
    from franken.token_map.options import Fallback
    from franken.token_map.report import provenance_report
    from franken.token_map.resources import InitResources
    from franken.token_map.row_sources import ReaderRows
    from franken.token_map.token_map import (
        DrawClasses,
        FallbackRule,
        MapLabels,
        Provenance,
        Reduce,
        TokenMap,
    )

__all__ = [
    "AppliedMap",
    "DrawClasses",
    "Fallback",
    "FallbackRule",
    "InitMethod",
    "InitResources",
    "MapLabels",
    "Provenance",
    "ReaderRows",
    "Reduce",
    "TokenMap",
    "apply_map",
    "apply_to_bias",
    "closeness",
    "fit_map",
    "initialise",
    "provenance_report",
]
