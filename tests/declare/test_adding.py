"""The table "to add, touch" of the page of the architecture, held to what it says."""

import re
from pathlib import Path

import pytest

from franken.declare import GROUPS, options, preset_groups, schemas
from tests.declare.outside import python

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| an? ([\w ,]+?)(?: of initialisers)? \| (.+?) \|(.*?)\|$", re.MULTILINE)


def touched() -> dict[str, list[str]]:
    """What is added -> files that are touched for it."""
    page = (ROOT / "docs" / "architecture.md").read_text().split("## Adding things")[1]
    return {
        what: re.findall(r"`([\w/]+/<\w+>\.\w+)`", files) for what, files, _ in ROW.findall(page)
    }


@pytest.mark.parametrize("what", ["initialiser", "step kind", "evaluation set"])
def test_one_file_is_enough_for(what):
    """Initialiser and step: see test_outside, which adds one file each and runs it."""
    (place,) = touched()[what]
    assert len(list(ROOT.glob(re.sub(r"<\w+>", "*", place)))) > 10


def test_every_place_that_the_table_names_has_files():
    for places in touched().values():
        for place in places:
            assert list(ROOT.glob(re.sub(r"<\w+>", "*", place))), place


def test_the_table_of_names_lists_every_group_without_a_package_of_its_name():
    page = (ROOT / "docs" / "architecture.md").read_text().split("but for these. Their options")[1]
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \|", page, re.MULTILINE)
    told = {name: row[1] for row in rows for name in re.findall(r"`([\w/]+)`", row[0])}
    for group in preset_groups():
        assert re.findall(r"`(\w+)`", told.pop(group)) == list(schemas(group))
    assert set(told) == {"callbacks", "experiment", "hydra/launcher"}


@pytest.mark.parametrize("group", [*GROUPS, "steps", "pack_operator", "transplant_engine"])
def test_an_option_s_file_carries_its_name(group):
    for name, cls in options(group).items():
        assert cls.__module__ == f"franken.{group}.{name}"


RUN = """
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.data import open_data
register_schemas()
overrides = ["data=local", "data.root={root}", "data.languages=[sw]", "hydra.searchpath=[file://{root}/conf]",
             "+eval_set@data.evaluation.riddles=riddles"]
with initialize_config_dir(str(config_dir()), version_base="1.3"):
    composed = compose("config", overrides=overrides)
source = open_data(OmegaConf.to_object(composed.data))
print(source.task_rows("riddles", "sw")[0]["text"])
"""
SET = """\
# Riddles of three topics.
defaults:
  - /schema/eval_set/set@_here_
  - _self_

schema: sib200
local:
  path: "{root}/riddles/{lang}.tsv"
"""


def test_an_evaluation_set_is_one_yaml_file(tmp_path):
    (tmp_path / "conf" / "eval_set").mkdir(parents=True)
    (tmp_path / "conf" / "eval_set" / "riddles.yaml").write_text(SET)
    (tmp_path / "riddles").mkdir()
    (tmp_path / "riddles" / "sw.tsv").write_text("index_id\tcategory\ttext\n1\tsports\tMpira\n")
    done = python(tmp_path, "-c", RUN.replace("{root}", str(tmp_path)))
    assert done.stdout.strip() == "Mpira", done.stderr
