"""Every new row is the mean source row.

Adding n such rows to the head raises the partition function by at most n / V (Jensen), so old
tokens keep their probability; Hewitt 2021, nlp.stanford.edu/~johnhew/vocab-expansion.html. Rows are
identical until their inputs differ: ``noise_std`` breaks the tie.
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.init_method.base import OverlapInit


@option
class MeanInit(OverlapInit):
    """Every new row is the mean source row; shared pieces copied."""

    paper: ClassVar[str] = "Hewitt 2021"

    name: str = "mean"
