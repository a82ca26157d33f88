"""Links by the program eflomal, run as a program of its own: it is under the GPL."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from franken.alignment.base import Alignment, Direction, Symmetry
from franken.config.checks import at_least, in_range
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later

with later():
    from franken.alignment.common.bitext import Bitext, read_bitext
    from franken.alignment.common.formats import read_pharaoh, write_moses
    from franken.alignment.common.links import Links, table_of_links
    from franken.alignment.common.symmetrise import symmetrise
    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair


@option
class EflomalAlignment(Alignment):
    """The program eflomal-align, where it is installed (GPL): better links than IBM Model 1."""

    program: str = "eflomal-align"
    """Found on the PATH, or a path. GPL and in need of a C compiler: no part of franken."""
    model: int = 3
    """1: IBM-1, 2: HMM, 3: HMM with fertility."""
    direction: Direction = Direction.s2t
    symmetrise: Symmetry = Symmetry.none
    max_pairs: int | None = None
    """Sentence pairs per language at most; ``null``: all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("model", self.model, 1, 3)
        yield from at_least("max_pairs", self.max_pairs, 1)

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Count the links of one language.

        eflomal samples without a seed that could be set: two runs differ a little. The result is
        kept in the store like any other.

        Raises:
            DataError: where the program is not installed or fails.
        """
        program = shutil.which(self.program)
        if program is None:
            raise DataError(
                f"alignment=eflomal: no program {self.program!r} on the PATH; install it with "
                "`pip install 'franken[eflomal]'` (needs a C compiler), name it by "
                "alignment.program, or use alignment=ibm1, which needs nothing"
            )
        bitext = read_bitext(pairs, max_pairs=self.max_pairs)
        forward, backward = _run(program, bitext, self.model)
        if self.symmetrise is not Symmetry.none:
            links = symmetrise(bitext, forward, backward, self.symmetrise)
        else:
            links = forward if self.direction is Direction.s2t else backward
        return table_of_links(bitext, links, "eflomal")


def _run(program: str, bitext: Bitext, model: int) -> tuple[Links, Links]:
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("source", "target", "forward", "backward")}
        write_moses(bitext, files["source"], files["target"])
        done = subprocess.run(
            [
                program, "-s", str(files["source"]), "-t", str(files["target"]),
                "-m", str(model), "-f", str(files["forward"]), "-r", str(files["backward"]),
                "--overwrite",
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not all(file.is_file() for file in files.values()):
            raise DataError(
                f"{program} failed with status {done.returncode}: {done.stderr.strip()[-500:]}"
            )
        return (
            read_pharaoh(files["forward"], bitext),
            read_pharaoh(files["backward"], bitext),
        )
