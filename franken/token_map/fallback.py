"""Finish a fit whose method leaves rows open: the config's fallback rule takes them."""

from franken.token_map.builder import MapBuilder
from franken.token_map.options import Fallback
from franken.token_map.token_map import Provenance, TokenMap

HEWITT_SCALE = 1e-5
"""Covariance factor of ``fallback=multivariate``: near the mean, yet no two rows alike."""


def build_with_fallback(builder: MapBuilder, kind: Fallback) -> TokenMap:
    """Build the map; rows that ``subtoken_mean`` cannot make either take the mean row."""
    if kind is Fallback.subtoken_mean:
        builder.pool_subtokens(Provenance.fallback)
    return builder.build(kind, scale=HEWITT_SCALE if kind is Fallback.multivariate else 1.0)
