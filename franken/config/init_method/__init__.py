"""Options of the group ``init_method``: how the rows of a new embedding table are made."""

from franken.config.init_method import (
    donor,
    learned,
    lexical,
    parallel,
    pooling,
    similarity,
    statistical,
    stored,
)
from franken.config.init_method.base import STEP_NEEDS, Fallback, InitMethodConfig, Need
from franken.config.init_method.lexical import LexiconInit
from franken.config.init_method.statistical import (
    CopyOnlyInit,
    MeanInit,
    MultivariateInit,
    RandomNormalInit,
    SubtokenMaxInit,
    SubtokenMeanInit,
)

OPTIONS: dict[str, type[InitMethodConfig]] = {
    name: option
    for family in (statistical, pooling, lexical, similarity, parallel, donor, learned, stored)
    for name, option in family.OPTIONS.items()
}
"""Name -> class of every option of the group."""

__all__ = [
    "OPTIONS",
    "STEP_NEEDS",
    "CopyOnlyInit",
    "Fallback",
    "InitMethodConfig",
    "LexiconInit",
    "MeanInit",
    "MultivariateInit",
    "Need",
    "RandomNormalInit",
    "SubtokenMaxInit",
    "SubtokenMeanInit",
]
