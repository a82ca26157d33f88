"""Records of a small grid whose averages are known by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from franken.report.records import Record, write_records

CHANCE = 0.25


def score(model, lang, value, *, variant="", seed=0, task="topic", metric="acc", key=None, **more):
    """A record; its key follows from what distinguishes the model."""
    role = "source" if lang == "en" else "target"
    fields = {
        "experiment": "demo",
        "recipe": "franken_adapter",
        "n": 100,
        "stderr": 0.03,
        "extra": {"chance": CHANCE, "lang_role": role} if metric == "acc" else {"lang_role": role},
        **more,
    }
    key = f"{model}/{variant}/{seed}" if key is None else key
    return Record(
        model=model, lang=lang, value=value, variant=variant, seed=seed, task=task, metric=metric,
        key=key, **fields,
    )  # fmt: skip


@pytest.fixture
def make() -> Callable[..., Record]:
    return score


@pytest.fixture
def grid() -> list[Record]:
    """Two seeds, two variants; the instruct model is the same in every job."""
    records = []
    for seed, shift in ((0, 0.0), (1, 0.1)):
        for variant, gain in (("lexicon", 0.4), ("mean", 0.0)):
            for lang in ("en", "hi", "ka"):
                known = 0.8 if lang == "en" else 0.25
                records.append(
                    score("instruct", lang, known, variant=variant, seed=seed, key=f"i{seed}")
                )
                adapted = known if lang == "en" else 0.25 + gain + (shift if gain else 0.0)
                records.append(score("franken", lang, adapted, variant=variant, seed=seed))
                for model, bits in (("instruct", 4.0), ("franken", 2.0 - gain)):
                    records.append(
                        score(
                            model, lang, 1.0 if lang == "en" else bits, variant=variant, seed=seed,
                            task="text", metric="bits_per_byte", stderr=0.05,
                            key=f"i{seed}" if model == "instruct" else None,
                        )
                    )  # fmt: skip
    return records


@pytest.fixture
def run_dir(grid, tmp_path) -> Path:
    write_records(tmp_path / "sweep" / "0" / "results.jsonl", grid)
    return tmp_path / "sweep" / "0"


@pytest.fixture
def full_run(run_dir):
    info = {
        "experiment": "demo",
        "variant": "lexicon",
        "config": {"seed": 0, "vocab": {"name": "prune_extend"}},
        "command": "python -m franken +experiment=demo",
        "versions": {"torch": "2.13"},
        "steps": [
            {"name": "base", "kind": "load", "key": "ab" * 32, "cached": True, "seconds": 0.1},
            {"name": "tuned", "kind": "train", "key": "cd" * 32, "cached": False, "seconds": 9.0},
        ],
    }
    (run_dir / "run.json").write_text(json.dumps(info))
    curve = run_dir / "curves" / "tuned" / "metrics.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("step,loss,lr\n10,5.0,0.1\n20,4.0,0.1\n30,,0.1\n")
    return run_dir
