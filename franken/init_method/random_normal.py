"""Rows drawn from N(mean, std per dimension) of the source rows.

With ``copy_overlap`` (default) shared pieces are copied, as in the random arm of OFA
(ofa:ofa/random_init.py); without it only special tokens are, as in llm-cva (which draws those too).
The two are different baselines.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.base import OverlapInit
from franken.token_map.options import Fallback


@option
class RandomNormalInit(OverlapInit):
    """Rows drawn from N(mean, std per dimension) of the source rows; shared pieces copied."""

    rule: ClassVar[Fallback] = Fallback.normal

    name: str = "random_normal"
