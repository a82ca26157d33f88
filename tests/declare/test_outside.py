"""What another package adds: chosen, checked and run as what is franken's own."""

import json
import re

import pytest

from tests.declare.outside import install, python
from tests.declare.outside_package import MODULES, POINTS
from tests.recipes.conftest import FEW_SCORES, TINY, TINY_MODEL

IN_PYTHON = """
import json
from franken.cli.check import check_command_line
from franken.cli.paths import config_dir
from franken.config.base_model import TokenizerKind
from franken.config.register import register_schemas
from franken.declare import find
from franken.families.declared import facts_of
from franken.init_method import InitResources, initialise
from franken.tokenizer.pieces import canonical_bytes
from franken.vocab import build_vocabulary
from tests.init_method.tiny import source_table, target_tokenizer
from tests.vocab.toys import KINDS, base_tokenizer, vocab_texts
kind = TokenizerKind.sentencepiece_bpe
method = find("init_method", "first_piece")()
source, target = source_table(kind), target_tokenizer(kind)
table, token_map = initialise(source, target, method, InitResources(), 0)
_, ends = initialise(source, target, find("init_method", "first_last")(), InitResources(), 0)
old, new = canonical_bytes(source.tokenizer), canonical_bytes(target)
register_schemas()
base = base_tokenizer(KINDS[0])
made = build_vocabulary(base, find("vocab", "same")(), vocab_texts(), 0)
wrong = [
    "init_method=first_piece", "init_method.skp=1", "router=narrow", "router.width=-1",
    "+recipe.steps.counted={step: count_row, model: base}",
    "eval_suite.tasks.bits_per_byte.kind=count_leters",
]
print(json.dumps({
    "method": table.provenance["method"],
    "sizes": [len(token_map.row(r)) for r in range(token_map.rows) if token_map.provenance[r] == 2],
    "ends": [
        [new[r].hex(), sorted((old[s].hex(), weight) for s, weight in ends.row(r))]
        for r in range(ends.rows) if ends.provenance[r] == 2
    ],
    "vocabulary": [made.report["option"], made.tokenizer.get_vocab() == base.get_vocab()],
    "family": facts_of("hashed"),
    "width": find("router", "narrow")().width,
    "faults": {
        fault.key: fault.message
        for argv in (wrong[:2], wrong[2:])
        for fault in check_command_line(argv, config_dir())
    },
}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    install(directory, "elsewhere", MODULES, POINTS)
    return directory


@pytest.fixture(scope="module")
def found(package):
    """What one interpreter says, in which the package is installed."""
    done = python(package, "-c", IN_PYTHON)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_help_shows_it(package):
    shown = python(package, "-m", "franken", "--help").stdout
    assert re.search(r"first_piece +The row of the piece's first source token", shown)
    assert re.search(r"narrow +A router of eight hidden units", shown)


def test_an_initialiser_runs_from_python(found):
    assert found["method"] == "first_piece"
    assert set(found["sizes"]) == {1}


def test_the_initialiser_of_the_page_for_contributors_runs(found):
    """Weights 1/2 on pieces that the token's bytes begin and end with; 1 on one that does both."""
    assert len(found["ends"]) > 50
    for piece, sources in found["ends"]:
        assert sum(weight for _, weight in sources) == 1
        texts = [text for text, _ in sources]
        assert len(texts) in (1, 2)
        assert any(piece.startswith(text) for text in texts)
        assert any(piece.endswith(text) for text in texts)


def test_a_vocabulary_is_built(found):
    assert found["vocabulary"] == ["same", True]


def test_facts_of_a_family_and_fields_of_a_router_are_found(found):
    assert found["family"] == {"refused": "its table is hashed"}
    assert found["width"] == 8


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("init_method.skp", "skip"), ("recipe.steps.counted.step", "count_rows"),
     ("eval_suite.tasks.bits_per_byte.kind", "count_letters"), ("router.width", "0")],
)  # fmt: skip
def test_options_are_checked(found, key, nearest):
    assert nearest in found["faults"][key]


@pytest.mark.slow
def test_initialiser_step_and_task_run_from_the_command_line(package, tmp_path):
    argv = [
        "-m", "franken", "init_method=first_piece", *FEW_SCORES, "vocab.size=1300",
        "recipe.evaluate=[initial]", "recipe.run=[counted]",
        "+recipe.steps.counted={step: count_rows, model: base, times: 2}",
        "eval_suite.tasks.bits_per_byte.kind=count_letters",
        "eval_suite.tasks.bits_per_byte.limit=5", "eval_suite.tasks.bits_per_byte.languages=[en]",
        "+eval_suite.tasks.bits_per_byte.options.letter=e",
        f"store.path={tmp_path}/store", f"hydra.run.dir={tmp_path}/run", *TINY_MODEL, *TINY,
    ]  # fmt: skip
    done = python(package, *argv)
    assert done.returncode == 0, done.stderr[-2000:]
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["initialisations"][0]["method"] == "first_piece"
    lines = map(json.loads, (tmp_path / "run" / "results.jsonl").read_text().splitlines())
    values = {line["metric"]: line for line in lines}
    assert values["rows"]["value"] == 2400
    assert values["letters"]["n"] == 5
    assert values["letters"]["value"] > 1


def test_a_point_that_names_no_option_is_refused(tmp_path):
    install(
        tmp_path, "wrong", {"wrong": "class Plain: pass\n"},
        {"franken.init_method": {"p": "wrong:Plain"}},
    )  # fmt: skip
    done = python(tmp_path, "-c", "from franken.declare import options; options('init_method')")
    assert "ConfigError" in done.stderr
    assert "wrong:Plain" in done.stderr
