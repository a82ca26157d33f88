"""What is compared: each job's peer, its pinned packages, and the commands of both sides."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from environments import SHARED

SIDES = Path(__file__).parent / "sides"


@dataclass(frozen=True)
class Inputs:
    """Directories that the command line names."""

    models: Path
    tokenizers: Path
    data: Path


Command = list[str]
Make = Callable[[Inputs, Path, Path], Command]
"""From inputs, a folder for what is written, and the peer's interpreter."""


@dataclass(frozen=True)
class Job:
    title: str
    peer: str
    requirements: tuple[str, ...]
    goal: str
    franken: Make
    other: Make
    needs: tuple[str, ...]
    """Inputs, as ``models/NAME``, without which the job is skipped."""
    before: tuple[Make, ...] = ()
    after: tuple[Make, ...] = ()
    """Commands after both; the last prints the agreement."""
    long: bool = False
    installed: tuple[str, ...] = field(default=())
    """Packages whose versions are reported."""


def ours(script: str, *arguments: object) -> Command:
    return [sys.executable, str(SIDES / script), *map(str, arguments)]


def _omp_models(inputs: Inputs) -> tuple[Path, Path]:
    return inputs.models / "gemma3-270m", inputs.models / "smollm2-135m-instruct"


def _omp_peer(inputs: Inputs, folder: Path, python: Path) -> Command:
    tool = str(python.parent / "mergekit-tokensurgeon")
    return [tool, *map(str, _omp_models(inputs)), str(folder / "peer"), "-a", "omp", "-k", "64"]


def _omp_peer_choice(_: Inputs, folder: Path, python: Path) -> Command:
    script, table = SIDES / "omp_choice.py", folder / "table.safetensors"
    return [str(python), str(script), str(table), "peer", str(folder / "peer.safetensors")]


JOBS = {
    "omp": Job(
        title="OMP, k = 64: Gemma 3 270M gets SmolLM2's vocabulary",
        peer="mergekit-tokensurgeon 0.1.5, the whole command",
        requirements=("mergekit==0.1.5", *SHARED),
        goal="5 x, memory <= the peer's",
        needs=("models/gemma3-270m", "models/smollm2-135m-instruct"),
        franken=lambda inputs, folder, _: ours(
            "omp_franken.py", *_omp_models(inputs), folder / "franken"
        ),
        other=_omp_peer,
        after=(
            lambda inputs, folder, _: ours(
                "omp_table.py", *_omp_models(inputs), folder / "table.safetensors"
            ),
            lambda _, folder, __: ours(
                "omp_choice.py", folder / "table.safetensors", "franken",
                folder / "franken.safetensors",
            ),
            _omp_peer_choice,
            lambda _, folder, __: ours(
                "omp_agreement.py", folder / "franken", folder / "peer",
                folder / "franken.safetensors", folder / "peer.safetensors",
            ),
        ),
        long=True,
    ),
}  # fmt: skip
