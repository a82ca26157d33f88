"""An initialiser of another package: chosen, checked and run as those of franken."""

import json
import re
from pathlib import Path

import pytest

from tests.declare.outside import install, python
from tests.recipes.conftest import TINY, TINY_MODEL

PAGE = Path(__file__).parents[2] / "docs" / "init_methods.md"
POINTS = {"franken.init_method": {"first_piece": "elsewhere:FirstPiece"}}


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The method that the page of initialisers shows."""
    directory = tmp_path_factory.mktemp("site")
    shown = re.search(r"```python\n(.*?)```", PAGE.read_text().split("## Adding one")[1], re.DOTALL)
    text = shown[1].replace("@option\n", '@option(name="first_piece")\n')
    install(directory, "elsewhere", text, POINTS)
    return directory


def test_help_and_the_composed_config_show_it(package):
    shown = python(package, "-m", "franken", "--help").stdout
    assert re.search(r"first_piece +The row of the piece's first source token", shown)
    done = python(package, "-m", "franken", "init_method=first_piece", "--cfg", "job")
    assert "name: first_piece" in done.stdout
    assert "skip: 0" in done.stdout


def test_its_options_are_checked(package):
    done = python(package, "-m", "franken", "init_method=first_piece", "init_method.skp=1")
    assert done.returncode == 2
    assert "init_method.skp" in done.stderr
    assert "'skip'" in done.stderr


RUN = """
import json
from franken.config.base_model import TokenizerKind
from franken.declare import find
from franken.init_method import InitResources, initialise
from tests.init_method.tiny import source_table, target_tokenizer
kind = TokenizerKind.sentencepiece_bpe
method = find("init_method", "first_piece")()
source, target = source_table(kind), target_tokenizer(kind)
table, token_map = initialise(source, target, method, InitResources(), 0)
sizes = [len(token_map.row(r)) for r in range(token_map.rows) if token_map.provenance[r] == 2]
print(json.dumps([table.provenance["method"], sizes]))
"""


def test_it_runs_from_python(package):
    done = python(package, "-c", RUN)
    assert done.returncode == 0, done.stderr
    method, sizes = json.loads(done.stdout)
    assert method == "first_piece"
    assert set(sizes) == {1}


@pytest.mark.slow
def test_it_runs_from_the_command_line(package, tmp_path):
    argv = [
        "-m", "franken", "init_method=first_piece", "eval_suite=intrinsics", "vocab.size=1300",
        "recipe.evaluate=[initial]", f"store.path={tmp_path}/store",
        f"hydra.run.dir={tmp_path}/run",
        *TINY_MODEL, *TINY,
    ]  # fmt: skip
    done = python(package, *argv)
    assert done.returncode == 0, done.stderr[-2000:]
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["initialisations"][0]["method"] == "first_piece"


VOCAB = """
from __future__ import annotations
from franken.declare import option
from franken.lazy import later
from franken.vocab.base import Vocab
with later():
    from franken.vocab.original import OriginalVocab

@option(name="same")
class Same(Vocab):
    \"\"\"The base's own, under another name.\"\"\"

    def build(self, base, texts):
        return OriginalVocab().build(base, texts)
"""


def test_a_vocabulary_of_another_package_is_built(tmp_path):
    install(tmp_path, "same_vocab", VOCAB, {"franken.vocab": {"same": "same_vocab:Same"}})
    code = (
        "from franken.declare import find\n"
        "from franken.vocab import build_vocabulary\n"
        "from tests.vocab.toys import KINDS, base_tokenizer, vocab_texts\n"
        "base = base_tokenizer(KINDS[0])\n"
        "made = build_vocabulary(base, find('vocab', 'same')(), vocab_texts(), 0)\n"
        "print(made.report['option'], made.tokenizer.get_vocab() == base.get_vocab())"
    )
    done = python(tmp_path, "-c", code)
    assert done.stdout.split() == ["same", "True"], done.stderr[-2000:]


def test_a_point_that_names_no_option_is_refused(tmp_path):
    install(tmp_path, "wrong", "class Plain: pass\n", {"franken.init_method": {"p": "wrong:Plain"}})
    done = python(tmp_path, "-c", "from franken.declare import options; options('init_method')")
    assert "ConfigError" in done.stderr
    assert "wrong:Plain" in done.stderr
