"""What is compared with tools that make vocabularies, vectors and alignments."""

import sys
from pathlib import Path

from environments import SHARED
from job import SIDES, Command, Inputs, Job, Make, ours
from jobs_models import MODEL_JOBS
from jobs_start import START_JOBS


def _omp_models(inputs: Inputs) -> tuple[Path, Path]:
    return inputs.models / "gemma3-270m", inputs.models / "smollm2-135m-instruct"


def _trimmed_donor(inputs: Inputs, folder: Path, _: Path) -> Command:
    """SmolLM2 with the pieces that 989 English records use, as a donor of fewer tokens."""
    tool = [sys.executable, "-m", "franken.vocab", "trim"]
    return [*tool, str(_omp_models(inputs)[1]), str(folder / "en.txt"), "-o", str(folder / "donor")]


def _donor(inputs: Inputs, folder: Path) -> Path:
    trimmed = folder / "donor"
    return trimmed if trimmed.exists() else _omp_models(inputs)[1]


def _omp_ours(script: str, out: str) -> Make:
    return lambda inputs, folder, _: ours(
        script, _omp_models(inputs)[0], _donor(inputs, folder), folder / out
    )


def _omp_peer(inputs: Inputs, folder: Path, python: Path) -> Command:
    tool, model = str(python.parent / "mergekit-tokensurgeon"), _omp_models(inputs)[0]
    return [
        tool, str(model), str(_donor(inputs, folder)), str(folder / "peer"), "-a", "omp", "-k", "64"
    ]  # fmt: skip


def _omp_choice(_: Inputs, folder: Path, python: Path) -> Command:
    found = ours(
        "omp_choice.py", folder / "table.safetensors", "franken", folder / "franken.safetensors"
    )
    if python == Path(sys.executable):
        return found
    return [str(python), found[1], found[2], "peer", str(folder / "peer.safetensors")]


def _omp_job(title: str, *, before: tuple[Make, ...] = (), long: bool) -> Job:
    here = Path(sys.executable)
    return Job(
        title=title,
        peer="mergekit-tokensurgeon 0.1.5, the whole command",
        requirements=("mergekit==0.1.5", *SHARED),
        goal="5 x, memory <= the peer's",
        needs=("models/gemma3-270m", "models/smollm2-135m-instruct", "data/mono/sw.train.jsonl"),
        before=before,
        franken=_omp_ours("omp_franken.py", "franken"),
        other=_omp_peer,
        after=(
            _omp_ours("omp_table.py", "table.safetensors"),
            lambda inputs, folder, _: _omp_choice(inputs, folder, here),
            _omp_choice,
            lambda _, folder, __: ours(
                "omp_agreement.py", folder / "franken", folder / "peer",
                folder / "franken.safetensors", folder / "peer.safetensors",
            ),
        ),
        long=long,
    )  # fmt: skip


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


def _aligner(script: str, *model: str) -> Make:
    def make(_: Inputs, folder: Path, python: Path) -> Command:
        side = "franken" if "franken" in script else "peer"
        texts = folder / "source.txt", folder / "target.txt"
        found = ours(script, *texts, folder / f"{side}.links", *model)
        return found if side == "franken" else [str(python), *found[1:]]

    return make


def _align_job(
    peer: str, script: str, requirements: tuple[str, ...], goal: str, model: str = "ibm1"
) -> Job:
    return Job(
        title="Alignment: 24,736 en-sw pairs and 2,000 of the embedded world to symmetrised links "
        f"({model})",
        peer=peer,
        requirements=requirements,
        goal=goal,
        needs=("data/parallel/en-sw.train.jsonl.gz",),
        before=(_texts,),
        franken=_aligner("align_franken.py", model),
        other=_aligner(script),
        after=(
            lambda _, folder, __: ours(
                "align_quality.py", folder / "gold.json", folder / "source.txt",
                folder / "target.txt", f"franken={folder / 'franken.links'}",
                f"peer={folder / 'peer.links'}",
            ),
        ),
    )  # fmt: skip


def _trans_job(peer: str, script: str, requirements: tuple[str, ...], goal: str) -> Job:
    def texts(folder: Path) -> tuple[Path, Path]:
        return folder / "source.txt", folder / "target.txt"

    def models(inputs: Inputs, folder: Path) -> tuple[Path, Path]:
        return inputs.models / "smollm2-135m-instruct", folder / "tokenizer"

    return Job(
        title="Trans-Tokenization, whole: 26,736 pairs to links to SmolLM2's rows for 8,000 "
        "Swahili pieces",
        peer=f"{peer}, and the published mapping by hand",
        requirements=requirements,
        goal=goal,
        needs=("models/smollm2-135m-instruct", "data/parallel/en-sw.train.jsonl.gz"),
        before=(
            _texts,
            lambda _, folder, __: ours(
                "trans_tokenizer.py", folder / "sw.txt", folder / "tokenizer"
            ),
        ),
        franken=lambda inputs, folder, _: ours(
            "trans_franken.py", *models(inputs, folder), *texts(folder),
            folder / "franken.safetensors",
        ),
        other=lambda inputs, folder, python: ours(
            "trans_by_hand.py", python, SIDES / script, *models(inputs, folder), *texts(folder),
            folder / "peer.links", folder / "peer.safetensors",
        ),
        after=(
            _aligner("align_franken.py", "ibm1"),
            lambda _, folder, __: ours(
                "trans_agreement.py", folder / "franken.safetensors", folder / "peer.safetensors",
                folder / "gold.json", *texts(folder), f"franken={folder / 'franken.links'}",
                f"peer={folder / 'peer.links'}",
            ),
        ),
    )  # fmt: skip


def _rows_agree(_: Inputs, folder: Path, __: Path) -> Command:
    return ours("rows_agreement.py", folder / "franken.safetensors", folder / "peer.safetensors")


def _vocabulary_job(base: str, pieces: str) -> Job:
    """8,000 Swahili pieces on top of a large vocabulary."""
    side = "vocabulary.py"
    tool = [sys.executable, "-m", "franken.vocab", "extend"]
    return Job(
        title=f"8,000 Swahili pieces more for a vocabulary of {pieces} ({base})",
        peer="tokenizers: as many pieces trained anew, put behind the base's by hand",
        requirements=(),
        goal="<= 2 x the time of training and merging by hand",
        needs=(f"tokenizers/{base}", "data/mono/sw.train.jsonl"),
        before=(_texts,),
        franken=lambda inputs, folder, _: [
            *tool, str(inputs.tokenizers / base), str(folder / "sw.txt"), "--added", "8000",
            "-o", str(folder / "franken"),
        ],
        other=lambda inputs, folder, _: ours(
            side, "hand", inputs.tokenizers / base, folder / "sw.txt", folder / "peer"
        ),
        after=(
            lambda _, folder, __: ours(
                side, "compare", folder / "sw.txt", folder / "franken", folder / "peer"
            ),
        ),
    )  # fmt: skip


JOBS = {
    "omp": _omp_job("OMP, k = 64: Gemma 3 270M gets SmolLM2's vocabulary", long=True),
    "omp_part": _omp_job(
        "OMP, k = 64: Gemma 3 270M gets the pieces of SmolLM2 that 989 English records use",
        before=(_texts, _trimmed_donor), long=True,
    ),
    "focus": Job(
        title="FOCUS, whole: SmolLM2 gets Llama 2's vocabulary from German text",
        peer="deepfocus 1.0.1",
        requirements=("deepfocus==1.0.1", *SHARED),
        goal="3 x",
        needs=(
            "models/smollm2-135m-instruct", "tokenizers/llama2", "data/mono/de.train.jsonl",
            "data/parallel/en-de.train.jsonl.gz",
        ),
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
    "align_systran_fast": _align_job(
        "systran-align 3.5.0", "align_systran.py", ("systran-align==3.5.0",), "3 x", "fast_align"
    ),
    "align_systran_agreed": _align_job(
        "systran-align 3.5.0", "align_systran.py", ("systran-align==3.5.0",), "3 x", "agreed"
    ),
    "align_eflomal": _align_job("eflomal 2.0.0", "align_eflomal.py", ("eflomal==2.0.0",), "8 x"),
    "trans_systran": _trans_job(
        "systran-align 3.5.0", "align_systran.py", ("systran-align==3.5.0",), "3 x"
    ),
    "trans_eflomal": _trans_job("eflomal 2.0.0", "align_eflomal.py", ("eflomal==2.0.0",), "8 x"),
    "vocabulary_gemma": _vocabulary_job("gemma3", "262,145"),
    "vocabulary_qwen": _vocabulary_job("qwen3", "151,669"),
    **MODEL_JOBS,
    **START_JOBS,
}  # fmt: skip
