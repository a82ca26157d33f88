"""What is compared with libraries on whole models: tables, training, packs, grids of layers."""

from pathlib import Path

from environments import SHARED
from job import Command, Inputs, Job, Make, ours

_CHOOSER = "smollm2-135m-instruct"
_SMOLLM = f"models/{_CHOOSER}"


def _sides(script: str, way: str, *arguments: str) -> Make:
    """One side's script with its way; ``{models}`` and ``{folder}`` are filled in."""

    def make(inputs: Inputs, folder: Path, _: Path) -> Command:
        known = {"models": inputs.models, "folder": folder}
        return ours(script, way, *(argument.format(**known) for argument in arguments))

    return make


def _told(_: Inputs, folder: Path, __: Path) -> Command:
    """Ratios of what both sides wrote into JSON files."""
    return ours("told.py", folder / "franken.json", folder / "peer.json")


def _resize(goal: str, link: str, gigabytes: int = 3) -> Job:
    return Job(
        title=f"Resize and save: {gigabytes} GB get another vocabulary, shards {link}",
        peer="transformers: from_pretrained, resize_token_embeddings, save_pretrained",
        requirements=(),
        goal=goal,
        needs=(),
        before=(_sides("resize.py", "inputs", "{folder}", str(gigabytes)),),
        franken=_sides("resize.py", link, "{folder}"),
        other=_sides("resize.py", "transformers", "{folder}"),
        after=(_sides("resize.py", "compare", "{folder}"),),
        long=True,
    )


def _tuning(peer: str, way: str, own: str = "franken") -> Job:
    small = ", adafactor over a bfloat16 body" if own == "small" else ""
    return Job(
        title=f"Embedding tuning{small}: Gemma 3 270M, 262,144 rows, 2 x 256 tokens per step",
        peer=peer,
        requirements=(),
        goal="1.3 x the tokens per second, half the peak memory",
        needs=("models/gemma3-270m",),
        franken=_sides("tuning.py", own, "{models}/gemma3-270m", "{folder}/franken.json"),
        other=_sides("tuning.py", way, "{models}/gemma3-270m", "{folder}/peer.json"),
        after=(_told,),
        long=True,
    )


def _loss(peer: str, way: str, goal: str) -> Job:
    return Job(
        title="Loss of 2,048 positions over 262,144 tokens, 256 dimensions, with gradients",
        peer=peer,
        requirements=(),
        goal=goal,
        needs=(),
        franken=_sides("loss.py", "franken", "{folder}/franken.json"),
        other=_sides("loss.py", way, "{folder}/peer.json"),
        after=(_told,),
    )


def _liger(_: Inputs, folder: Path, python: Path) -> Command:
    return [str(python), *ours("loss.py", "liger", folder / "peer.json", 32)[1:]]


def _choice(title: str, task: str, items: int) -> Job:
    """franken's scorer beside lm-eval's, which franken's own environment has."""

    def side(way: str, out: str) -> Make:
        return _sides("choice.py", way, task, "{folder}", f"{{models}}/{_CHOOSER}", out)

    return Job(
        title=title,
        peer="lm-eval's hf backend",
        requirements=(),
        goal="4 x, equal answers",
        needs=(_SMOLLM, "data/eval/sib200", "data/eval/global_mmlu_lite"),
        before=(
            lambda inputs, folder, _: ours("choice.py", "inputs", task, folder, inputs.data, items),
        ),
        franken=side("franken", "{folder}/franken.json"),
        other=side("hf", "{folder}/peer.json"),
        after=(_told,),
        long=True,
    )


def _extract_lora(_: Inputs, folder: Path, python: Path) -> Command:
    return [
        str(python.parent / "mergekit-extract-lora"), "--model", str(folder / "tuned"),
        "--base-model", str(folder / "base"), "--out-path", str(folder / "peer"),
        "--max-rank", "32", "--exclude-regex", "embed_tokens|lm_head|norm", "--quiet",
    ]  # fmt: skip


def _skillpack(peer: str, requirements: tuple[str, ...], other: Make, wide: bool = False) -> Job:
    of = "two layers of Llama 3.2 1B's shape" if wide else "SmolLM2"
    model = "wide" if wide else "{models}/smollm2-135m-instruct"
    return Job(
        title=f"SkillPack of rank 32: every attention and MLP matrix of {of}, float32",
        peer=peer,
        requirements=requirements,
        goal="3 x, error <= 1.01 x",
        needs=() if wide else (_SMOLLM,),
        before=(_sides("skill.py", "inputs", model, "{folder}"),),
        franken=_sides("skill.py", "franken", "{folder}"),
        other=other,
        after=(_sides("skill.py", "compare", "{folder}"),),
    )


_SCRIPT = "a plain script over torch.linalg.svd", (), _sides("skill.py", "svd", "{folder}")

MODEL_JOBS = {
    "resize_links": _resize("4 x", "linked"),
    "resize_links_8gb": _resize("4 x", "linked", 8),
    "resize_copies": _resize("2 x", "copied"),
    "tuning_plain": _tuning("a plain loop: transformers and AdamW, all weights", "plain"),
    "tuning_small": _tuning(
        "a plain loop: transformers and AdamW, all weights", "plain", own="small"
    ),
    "tuning_peft": _tuning("peft trainable_token_indices, all rows", "peft"),
    "loss_plain": _loss("torch: linear, cross_entropy", "plain", "memory <= 1/8"),
    "loss_torch": _loss("torch linear_cross_entropy with options", "torch", "not slower"),
    "loss_liger": Job(
        title="Loss of 32 positions over 262,144 tokens: memory and agreement; Liger's kernels are "
        "interpreted where there is no GPU, so that its time says nothing",
        peer="liger-kernel 0.8.5",
        requirements=("liger-kernel==0.8.5", *SHARED),
        goal="memory not more, loss equal",
        needs=(),
        franken=_sides("loss.py", "franken", "{folder}/franken.json", "32"),
        other=_liger,
        after=(_told,),
    ),
    "multiple_choice": _choice(
        "Multiple choice: 16 questions of Global-MMLU-Lite behind five examples", "questions", 16
    ),
    "multiple_choice_topics": _choice(
        "Multiple choice: 24 Swahili items of SIB-200, seven options, no examples", "topics", 24
    ),
    "rolling": _choice("Rolling: 24 times four Swahili sentences", "rolling", 24),
    "skillpack_mergekit": _skillpack(
        "mergekit-tokensurgeon (its package's mergekit-extract-lora 0.1.5)",
        ("mergekit==0.1.5", *SHARED), _extract_lora,
    ),
    "skillpack_svd": _skillpack(*_SCRIPT),
    "skillpack_svd_wide": _skillpack(*_SCRIPT, wide=True),
    "xtransplant": Job(
        title="XTransplant: SmolLM2's 900 pairs of layers, prompts of 80 tokens, 6 new tokens",
        peer="a plain loop with hooks and a cache, every 29th pair",
        requirements=(),
        goal="20 x, the same answers",
        needs=(_SMOLLM,),
        franken=_sides("transplant.py", "franken", "{models}/smollm2-135m-instruct",
                       "{folder}/franken.json"),
        other=_sides("transplant.py", "hooks", "{models}/smollm2-135m-instruct",
                     "{folder}/peer.json"),
        after=(_told,),
    ),
}  # fmt: skip
