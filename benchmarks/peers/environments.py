"""An environment of its own for each peer, with pinned packages from the package registry."""

import subprocess
import sys
from pathlib import Path

SHARED = ("torch==2.13.0", "transformers==5.23.0")
"""What franken's own environment has, so that both sides compute with the same library."""


class NotAvailableError(Exception):
    """Why a peer cannot be had here."""


def python_of(name: str, requirements: tuple[str, ...], root: Path) -> Path:
    """The interpreter of a peer's environment, which is made where it is not there yet.

    Raises:
        NotAvailableError: where a package cannot be installed; gives pip's last lines.
    """
    home = root / name
    python, stamp = home / "bin" / "python", home / "requirements.txt"
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotAvailableError(" / ".join(lines[-3:]))
    stamp.write_text(wanted)
    return python


def versions_of(python: Path, packages: tuple[str, ...]) -> str:
    """Installed versions, as ``name 1.2``."""
    code = (
        "import sys\nfrom importlib.metadata import version\n"
        "for name in sys.argv[1:]: print(name, version(name))"
    )
    names = [package.split("==")[0] for package in packages]
    out = subprocess.run(
        [str(python), "-c", code, *names], capture_output=True, text=True, check=False
    )
    return ", ".join(out.stdout.splitlines())
