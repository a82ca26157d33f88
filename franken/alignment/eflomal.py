"""Links by the program eflomal, run as a program of its own: it is under the GPL."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from franken.alignment.bitext import Bitext, read_bitext
from franken.alignment.formats import read_pharaoh, write_moses
from franken.alignment.links import Links, table_of_links
from franken.alignment.symmetrise import symmetrise
from franken.alignment.table import WordTable
from franken.config.alignment import Direction, EflomalAlignment, Symmetry
from franken.errors import DataError

if TYPE_CHECKING:
    from franken.data.source import Pair


def align(pairs: Iterable["Pair"], config: EflomalAlignment, language: str) -> WordTable:
    """Count the links of one language.

    eflomal samples without a seed that could be set: two runs differ a little. The result is kept
    in the store like any other.

    Raises:
        DataError: where the program is not installed or fails.
    """
    program = shutil.which(config.program)
    if program is None:
        raise DataError(
            f"alignment=eflomal: no program {config.program!r} on the PATH; install it with "
            "`pip install 'franken[eflomal]'` (needs a C compiler), name it by alignment.program, "
            "or use alignment=ibm1, which needs nothing"
        )
    bitext = read_bitext(pairs, max_pairs=config.max_pairs)
    forward, backward = _run(program, bitext, config.model)
    if config.symmetrise is not Symmetry.none:
        links = symmetrise(bitext, forward, backward, config.symmetrise)
    else:
        links = forward if config.direction is Direction.s2t else backward
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
