"""Declared options: found by walking, light to read, written to their YAML files."""

import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.cli.paths import config_dir
from franken.config.checks import collect_faults
from franken.config.register import register_schemas
from franken.declare import GROUPS, option, options
from franken.declare.files import stale_files, yaml_text, yaml_value
from franken.declare.reading import fields_of, summary
from franken.init_method.base import InitMethod
from franken.init_method.salt import SaltInit

UNSET = {
    ("alignment", "files"): {"links"},
    ("helper_model", "checkpoint"): {"path"},
    ("word_vectors", "files"): {"path"},
    ("vocab", "from_pretrained"): {"path"},
}
"""Fields that have no default, since only the user knows the file."""
ALL = [(group, name) for group in GROUPS for name in options(group)]


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


@pytest.mark.parametrize(("group", "name"), ALL)
def test_an_option_composes_to_its_defaults(group, name):
    register_schemas()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        composed = compose(overrides=[f"+{group}={name}"])
    made = OmegaConf.to_object(composed[group])
    assert made == options(group)[name]()
    assert type(made) is options(group)[name]
    assert {fault.key for fault in collect_faults(made)} <= UNSET.get((group, name), set())


@pytest.mark.parametrize(("group", "name"), ALL)
def test_every_field_has_a_line(group, name):
    chosen = options(group)[name]
    assert summary(chosen)
    assert [item.name for item in fields_of(chosen()) if not item.doc] == []


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
