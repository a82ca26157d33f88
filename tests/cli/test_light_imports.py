"""Looking at configs must not cost an import of torch."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.table import save_table
from tests.parts.test_table import make_table
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer

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


KEYS = """
import json, sys, tempfile
from pathlib import Path
from franken.cli.check import judge_command_line
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.run import Runner
register_schemas()
with tempfile.TemporaryDirectory() as place:
    for name in {experiments!r}:
        overrides = [f"+experiment={{name}}", f"store.path={{place}}"]
        faults, config, *_ = judge_command_line(overrides, config_dir())
        assert Runner(config, Path(place)).keys, faults
print("\\nMODULES", json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""


def test_finding_what_is_done_imports_nothing_heavy() -> None:
    """The key of every step is computed: a finished run asks for no more."""
    names = ["quickstart", "graftllm/preference", "hydra_llm/zero_shot_mt", "xtransplant/select"]
    done = subprocess.run(
        [sys.executable, "-c", KEYS.format(experiments=names)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not set(json.loads(done.stdout.rpartition("MODULES")[2])) & HEAVY


def test_a_table_goes_into_a_known_model_without_torch(tmp_path) -> None:
    """From disk to disk: what a command of a second's work would wait for is its imports."""
    source = save_checkpoint(tiny_model(rows=100), tiny_tokenizer(), tmp_path / "source")
    lineage = body_fingerprint(source, Checkpoint(source).anatomy())
    save_table(replace(make_table(rows=120), lineage=lineage), tmp_path / "table")
    found = disk_to_disk(
        "from franken.parts.disk_surgery import replace_tables_on_disk\n"
        "replace_tables_on_disk(place / 'source', place / 'table', place / 'target')", tmp_path,
    )  # fmt: skip
    assert json.loads((tmp_path / "target" / "config.json").read_text())["vocab_size"] == 120
    assert not found & HEAVY


def test_packs_and_trimmed_vocabularies_need_no_modelling_code(tmp_path) -> None:
    for name, seed in (("base", 0), ("tuned", 1)):
        save_checkpoint(tiny_model(rows=100, seed=seed), tiny_tokenizer(), tmp_path / name)
    (tmp_path / "text.txt").write_text("the cat sat on the mat\n")
    found = disk_to_disk(
        "from franken.parts.weights import StoredWeights\n"
        "from franken.config.pack import PackConfig\n"
        "from franken.skillpack import pack_difference\n"
        "from franken.skillpack.apply import apply_to_checkpoint\n"
        "both = [StoredWeights.of_checkpoint(place / name) for name in ('base', 'tuned')]\n"
        "pack = pack_difference(*both, PackConfig(), place / 'pack', name='pack')\n"
        "apply_to_checkpoint(place / 'base', [pack], place / 'grafted')\n"
        "assert 'transformers' not in sys.modules\n"
        "from franken.vocab.__main__ import main\n"
        "wanted = [str(place / 'base'), str(place / 'text.txt'), '-o', str(place / 'trimmed')]\n"
        "assert main(['trim', *wanted]) == 0", tmp_path,
    )  # fmt: skip
    assert (tmp_path / "grafted" / "model.safetensors").is_file()
    assert (tmp_path / "trimmed" / "model.safetensors").is_file()
    assert not found & {"transformers.modeling_utils", "pytorch_lightning"}


def disk_to_disk(code: str, place: Path) -> set[str]:
    """Modules that are loaded once some code has run."""
    text = (
        f"import json, sys\nfrom pathlib import Path\nplace = Path({str(place)!r})\n{code}\n"
        "print('MODULES', json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.rpartition("MODULES")[2]))


def test_completion_imports_nothing_heavy() -> None:
    line = "franken init_method="
    modules, text = modules_after(
        ["-sc", "query=bash"], COMP_LINE=line, COMP_POINT=str(len(line)), _COMP_CWORD="1"
    )
    assert "init_method=lexicon" in text
    assert not modules & HEAVY
