"""eflomal's side of ``align``: SOURCE TARGET OUT; both directions, joined by grow-diag-final-and.

The joining is franken's and is not timed apart: eflomal has none of its own.
"""

import subprocess
import sys
from pathlib import Path

source, target, out = sys.argv[1:]
tool = str(Path(sys.executable).parent / "eflomal-align")
subprocess.run(
    [
        tool,
        "-s",
        source,
        "-t",
        target,
        "-f",
        f"{out}.forward",
        "-r",
        f"{out}.reverse",
        "--overwrite",
    ],
    check=True,
)
