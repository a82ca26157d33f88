"""DPO on log-ratios per token."""

from typing import ClassVar

from franken.declare import option
from franken.preference.dpo import Dpo


@option
class DpoNormalised(Dpo):
    """DPO with log-ratios per token and beta 10: the settings published for Llama-3.1 targets."""

    paper: ClassVar[str] = "FuseChat-3.0"

    beta: float = 10.0
    length_normalised: bool = True
