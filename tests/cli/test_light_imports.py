"""Looking at configs must not cost an import of torch."""

import json
import os
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "pytorch_lightning", "datasets", "wandb"}

PROBE = """
import json, runpy, sys
sys.argv = ["franken", *{argv!r}]
try:
    runpy.run_module("franken", run_name="__main__")
except SystemExit:
    pass
print("\\nMODULES", json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def modules_after(argv: list[str], **env: str) -> tuple[set[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(argv=argv)],
        capture_output=True, text=True, check=True, env={**os.environ, **env},
    )  # fmt: skip
    text, _, modules = done.stdout.rpartition("MODULES")
    return set(json.loads(modules)), text


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--help"], "prune_extend"),
        (["+experiment=quickstart", "--cfg", "job"], "init_method:"),
        (["+experiment=quickstart", "--info", "defaults-tree"], "tiny_gemma2"),
        (["vocab=nonsense"], ""),
    ],
    ids=["help", "cfg", "defaults-tree", "fault"],
)
def test_looking_at_configs_imports_nothing_heavy(argv: list[str], shown: str) -> None:
    modules, text = modules_after(argv)
    assert shown in text
    assert not modules & HEAVY


def test_completion_imports_nothing_heavy() -> None:
    line = "franken init_method="
    modules, text = modules_after(
        ["-sc", "query=bash"], COMP_LINE=line, COMP_POINT=str(len(line)), _COMP_CWORD="1"
    )
    assert "init_method=lexicon" in text
    assert not modules & HEAVY
