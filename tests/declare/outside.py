"""A package that is not franken's, installed by a directory on the path."""

import os
import subprocess
import sys
from pathlib import Path


def install(
    directory: Path, name: str, modules: dict[str, str], points: dict[str, dict[str, str]]
) -> None:
    """Write modules and the metadata of one distribution that names their entry points."""
    for module, text in modules.items():
        (directory / f"{module}.py").write_text(text)
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in named.items())
        for group, named in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))


def python(directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter in which the package is installed."""
    path = os.pathsep.join([str(directory), str(Path(__file__).parents[2])])
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
