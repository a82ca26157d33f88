"""Links as an aligner's side left them, in one file or one for each direction."""

from pathlib import Path

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import Bitext
from franken.alignment.common.formats import read_pharaoh
from franken.alignment.common.links import Links
from franken.alignment.common.symmetrise import symmetrise


def read_links(path: str, bitext: Bitext) -> Links:
    """Links of a bitext; two directions are joined by grow-diag-final-and."""
    if not Path(f"{path}.reverse").exists():
        return read_pharaoh(Path(path), bitext)
    forward, backward = (
        read_pharaoh(Path(f"{path}.{side}"), bitext) for side in ("forward", "reverse")
    )
    return symmetrise(bitext, forward, backward, Symmetry.grow_diag_final_and)
