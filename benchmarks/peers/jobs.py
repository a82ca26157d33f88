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


def _texts(inputs: Inputs, folder: Path, _: Path) -> Command:
    return ours("texts.py", inputs.data, folder)


def _focus(script: str) -> Make:
    def make(inputs: Inputs, folder: Path, python: Path) -> Command:
        side = "peer" if "peer" in script else "franken"
        arguments = [
            inputs.models / "smollm2-135m-instruct", inputs.tokenizers / "llama2",
            folder / "de.txt", folder / f"{side}.safetensors",
        ]  # fmt: skip
        found = ours(script, *arguments)
        return [str(python), *found[1:]] if side == "peer" else found

    return make


def _wechsel(script: str) -> Make:
    def make(inputs: Inputs, folder: Path, python: Path) -> Command:
        side = "peer" if "peer" in script else "franken"
        arguments = [
            inputs.models / "smollm2-135m-instruct", inputs.tokenizers / "llama2",
            *(folder / name for name in ("en.txt", "sw.txt", "lexicon.txt", f"{side}.safetensors")),
        ]  # fmt: skip
        found = ours(script, *arguments)
        return [str(python), *found[1:]] if side == "peer" else found

    return make


def _aligner(script: str) -> Make:
    def make(_: Inputs, folder: Path, python: Path) -> Command:
        side = "franken" if "franken" in script else "peer"
        found = ours(script, folder / "source.txt", folder / "target.txt", folder / f"{side}.links")
        return found if side == "franken" else [str(python), *found[1:]]

    return make


def _align_job(peer: str, script: str, requirements: tuple[str, ...], goal: str) -> Job:
    return Job(
        title="Alignment: 24,736 en-sw pairs and 2,000 of the embedded world to symmetrised links",
        peer=peer,
        requirements=requirements,
        goal=goal,
        needs=("data/parallel/en-sw.train.jsonl.gz",),
        before=(_texts,),
        franken=_aligner("align_franken.py"),
        other=_aligner(script),
        after=(
            lambda _, folder, __: ours(
                "align_quality.py", folder / "gold.json", folder / "source.txt",
                folder / "target.txt", f"franken={folder / 'franken.links'}",
                f"peer={folder / 'peer.links'}",
            ),
        ),
    )  # fmt: skip


def _rows_agree(_: Inputs, folder: Path, __: Path) -> Command:
    return ours("rows_agreement.py", folder / "franken.safetensors", folder / "peer.safetensors")


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
    "focus": Job(
        title="FOCUS, whole: SmolLM2 gets Llama 2's vocabulary from German text",
        peer="deepfocus 1.0.1",
        requirements=("deepfocus==1.0.1", *SHARED),
        goal="3 x",
        needs=("models/smollm2-135m-instruct", "tokenizers/llama2", "data/mono/de.train.jsonl"),
        before=(_texts,),
        franken=_focus("focus_franken.py"),
        other=_focus("focus_peer.py"),
        after=(_rows_agree,),
    ),
    "wechsel": Job(
        title="WECHSEL, whole: SmolLM2 gets Llama 2's vocabulary from 989 records of en and of sw",
        peer="wechsel 0.0.4",
        requirements=("wechsel==0.0.4", *SHARED),
        goal="3 x",
        needs=("models/smollm2-135m-instruct", "tokenizers/llama2", "data/mono/sw.train.jsonl"),
        before=(_texts,),
        franken=_wechsel("wechsel_franken.py"),
        other=_wechsel("wechsel_peer.py"),
        after=(_rows_agree,),
    ),
    "align_systran": _align_job(
        "systran-align 3.5.0", "align_systran.py", ("systran-align==3.5.0",), "3 x"
    ),
    "align_eflomal": _align_job("eflomal 2.0.0", "align_eflomal.py", ("eflomal==2.0.0",), "8 x"),
}  # fmt: skip
