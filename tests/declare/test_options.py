"""Declared options: found by walking, light to read, written to their YAML files."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.alignment.files import FilesAlignment
from franken.cli.paths import config_dir
from franken.config.checks import collect_faults, faults_later
from franken.config.eval_suite import Chat, EvalSuiteConfig, LimitTakes, TaskConfig
from franken.config.pack import ClassRule, PackConfig
from franken.config.register import register_schemas
from franken.config.training import TrainingConfig
from franken.declare import GROUPS, option, options, preset_groups, schemas, written_options
from franken.declare.files import stale_files, yaml_text
from franken.declare.reading import fields_of, summary
from franken.declare.tables import dataclasses_inside, fields_tables
from franken.declare.values import yaml_value
from franken.errors import ConfigError
from franken.init_method.base import InitMethod
from franken.init_method.focus import FocusInit
from franken.init_method.salt import SaltInit
from franken.word_vectors.base import VectorUnit
from tests.faults import raises

UNSET = {
    ("alignment", "files"): {"links"},
    ("base_model", "checkpoint"): {"path"},
    ("eval_suite", "lm_eval"): {"tasks"},
    ("helper_model", "checkpoint"): {"path"},
    ("init_method", "grounded"): {"tokens"},
    ("init_method", "named_tokens"): {"tokens"},
    ("word_vectors", "files"): {"path"},
    ("vocab", "from_pretrained"): {"path"},
}
"""Fields that have no default, since only the user knows the file."""
WRITTEN = [
    (group, name) for group in (*GROUPS, *preset_groups()) for name in written_options(group)
]
SCHEMAS = [(group, name) for group in (*GROUPS, *preset_groups()) for name in schemas(group)]


def test_no_file_says_other_than_its_declaration():
    assert stale_files(config_dir()) == []


def test_a_file_that_says_other_is_stale(tmp_path):
    (tmp_path / "init_method").mkdir()
    (tmp_path / "init_method" / "mean.yaml").write_text(
        yaml_text("init_method", options("init_method")["mean"])
    )
    stale = {path.name for path in stale_files(tmp_path)}
    assert "mean.yaml" not in stale
    assert "focus.yaml" in stale


@cache
def composed(group):
    """Every option of a group beside each other, by name."""
    register_schemas()
    each = [f"+{group}@options.{name}={name}" for name in written_options(group)]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose(overrides=each).options


@pytest.mark.parametrize(("group", "name"), WRITTEN)
def test_an_option_composes_to_its_defaults(group, name):
    made = OmegaConf.to_object(composed(group)[name])
    assert made == written_options(group)[name]()
    assert type(made) is written_options(group)[name]
    assert {fault.key for fault in collect_faults(made)} <= UNSET.get((group, name), set())


@pytest.mark.parametrize(("group", "name"), SCHEMAS)
def test_every_field_has_a_line(group, name):
    chosen = schemas(group)[name]
    for cls in (chosen, *(inner for _, inner in dataclasses_inside(chosen))):
        assert summary(cls)
        assert [item.name for item in fields_of(cls()) if not item.doc] == []


def test_groups_are_those_of_the_config_directory():
    """``callbacks`` holds plain entries of Lightning, ``experiment`` whole jobs: without fields."""
    folders = {path.name for path in config_dir().iterdir() if path.is_dir()}
    shared = {name for name in folders if name.endswith("_parts")}
    assert {*GROUPS, *preset_groups(), "callbacks", "experiment", "hydra"} == folders - shared


def test_a_preset_is_typed_by_a_schema_of_its_group():
    for group in preset_groups():
        known = {f"/schema/{group}/{name}@_here_" for name in schemas(group)}
        for path in (config_dir() / group).glob("*.yaml"):
            first = re.findall(r"^ *- (\S+)$", path.read_text(), re.MULTILINE)[0]
            other = first.removeprefix(f"/{group}/").partition("@")[0]
            assert first in known or (config_dir() / group / f"{other}.yaml").is_file(), path


def test_a_table_of_fields_goes_through_mappings_and_optional_parts():
    page = fields_tables("data")
    assert "`monolingual.*`, `documents.*`" in page
    assert "| `unimax_epochs` | `5.0` |" in page


def test_what_is_said_about_a_field_is_found_through_bases_and_nested_classes():
    said = {item.name: item for item in fields_of(SaltInit())}
    assert said["copy_overlap"].doc.startswith("Rows whose canonical bytes")
    assert said["head"].choices == ("same_weights", "helper_head", "global_map", "random")
    nested = {item.name: item.doc for item in said["selector"].nested}
    assert nested["k"] == "Number of neighbours for topk and omp."


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-06, "1.0e-06"), (0.5, "0.5"), (None, "null"), (True, "true"), ("no", '"no"'), ("", '""'),
     ("a_b", "a_b"),
     ("null", '"null"'), ("ibm1", "ibm1"), ("1e3", '"1e3"'),
     ("{lang}", '"{lang}"'), ([1, 2], "[1, 2]"), (1e-10, "1.0e-10")],
)  # fmt: skip
def test_a_value_comes_back_from_its_yaml(value, text):
    assert yaml_value(value) == text
    assert OmegaConf.create(f"x: {text}").x == value


def test_an_option_is_a_dataclass_with_the_name_of_its_module_or_its_own():
    @option(name="sideways")
    class Sideways(InitMethod):
        """Rows laid sideways."""

        angle: float = 90.0

    assert Sideways(angle=1.0).name == "sideways"
    assert Sideways() != Sideways(angle=1.0)


@pytest.mark.parametrize(
    ("cls", "values", "key"),
    [(FocusInit, {"temperature": -1.0}, "temperature"),
     (SaltInit, {"copy_overlap": False}, "copy_overlap"),
     (PackConfig, {"classes": {"all": ClassRule(density=2.0)}}, "classes.all.density"),
     (PackConfig, {"schedule_width": 0}, "schedule_width"), (TrainingConfig, {"lr": -1.0}, "lr"),
     (FocusInit, {"unit": "peices"}, "unit"), (TrainingConfig, {"schedule": "x"}, "schedule")],
)  # fmt: skip
def test_a_wrong_value_is_refused_when_options_are_made(cls, values, key):
    with raises(ConfigError, cls.__name__, key):
        cls(**values)
    with faults_later():
        assert [fault.key for fault in collect_faults(cls(**values))] == [key]


def test_what_only_the_user_knows_may_be_missing_until_it_is_used():
    assert FilesAlignment().links is None
    assert replace(FocusInit(), temperature=0.5).temperature == 0.5


def test_reading_all_declarations_imports_nothing_heavy():
    code = (
        "import sys; from franken.declare import GROUPS, options\n"
        "for group in GROUPS: options(group)\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_stand_in_is_kept_for_good():
    done = subprocess.run(
        [sys.executable, "-m", "tests.declare.stand_ins"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""


def test_a_member_is_named_in_python_as_on_the_command_line():
    """Code compares by identity: a bare string would count as no member at all."""
    assert FocusInit(unit="pieces").unit is VectorUnit.pieces
    assert TaskConfig(chat="off", score="mean_byte").chat is Chat.off
    assert EvalSuiteConfig(limit_takes="first").limit_takes is LimitTakes.first
