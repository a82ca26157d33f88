"""Initialisers declare themselves: names, options, faults, versions."""

from franken.config.base_model import TokenizerKind
from franken.declare import find, options
from franken.errors import CompatibilityError, ConfigError
from franken.init_method import initialise
from franken.init_method.copy_only import CopyOnlyInit
from franken.init_method.lexicon import LexiconInit
from tests.faults import faults_of, raises
from tests.init_method.tiny import RESOURCES, source_table, target_tokenizer


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with raises(ConfigError, "'subtoken_men'", "'subtoken_mean'", "copy_only"):
        find("init_method", "subtoken_men")
    with raises(ConfigError, "'base'", "copy_only"):
        find("init_method", "base")


def test_options_that_make_no_sense_are_faults():
    assert list(faults_of(CopyOnlyInit, copy_overlap=False)) == ["copy_overlap"]
    wrong = {"noise_std": -1, "prefix_min_chars": -1, "stem_min_chars": -1, "internal_min_chars": 0}
    assert set(faults_of(LexiconInit, **wrong)) == {
        "noise_std", "prefix_min_chars", "stem_min_chars", "internal_min_chars"
    }  # fmt: skip


def test_a_source_with_nan_is_refused_before_the_fit():
    kind = TokenizerKind.sentencepiece_bpe
    source = source_table(kind)
    source.input[3, 1] = float("nan")
    with raises(CompatibilityError, "row 3"):
        initialise(source, target_tokenizer(kind), LexiconInit(), RESOURCES, 0)


def test_a_methods_version_changes_the_keys_of_its_own_steps_alone(monkeypatch):
    from franken.steps.initialise import method_options

    before = method_options(LexiconInit()), method_options(CopyOnlyInit())
    monkeypatch.setattr(LexiconInit, "version", 2)
    assert method_options(LexiconInit()) != before[0]
    assert method_options(CopyOnlyInit()) == before[1]


def test_a_family_of_options_has_the_names_of_its_files():
    for name, method in options("init_method").items():
        assert method().name == name
        assert method.__module__ == f"franken.init_method.{name}"
