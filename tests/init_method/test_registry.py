"""Names of methods: files, options and entry points."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from franken.config.base_model import TokenizerKind
from franken.config.checks import collect_faults
from franken.config.init_method import CopyOnlyInit, InitMethodConfig, LexiconInit
from franken.config.register import SCHEMAS
from franken.errors import CompatibilityError, ConfigError
from franken.init_method import initialise, load_method, method_names, registry
from franken.init_method.mean import fit
from tests.init_method.tiny import RESOURCES, source_table, target_tokenizer

OPTIONS = Path(__file__).parents[2] / "conf" / "init_method"


def test_every_method_is_a_file_an_option_and_a_schema_of_one_name():
    options = sorted(path.stem for path in OPTIONS.glob("*.yaml"))
    assert method_names() == options == sorted(SCHEMAS["init_method"])
    for name, schema in SCHEMAS["init_method"].items():
        assert schema().name == name
        assert callable(load_method(name))


@pytest.mark.parametrize("path", sorted(OPTIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_option_opens_with_one_sentence_and_composes(path):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from franken.config.register import register_schemas

    register_schemas()
    assert path.read_text().splitlines()[0].startswith("# ")
    with initialize_config_dir(str(OPTIONS.parent), version_base="1.3"):
        composed = compose(overrides=[f"+init_method={path.stem}"])
    config = OmegaConf.to_object(composed.init_method)
    assert isinstance(config, SCHEMAS["init_method"][path.stem])
    assert collect_faults(config) == []


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ConfigError, match=r"Did you mean 'subtoken_mean'.*Valid: .*copy_only, "):
        load_method("subtoken_men")
    with pytest.raises(ConfigError):
        load_method("engine")


def test_other_packages_join_through_an_entry_point(monkeypatch):
    point = EntryPoint("borrowed", "franken.init_method.mean:fit", "franken.init_method")
    own = EntryPoint("mean", "nowhere:fit", "franken.init_method")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point, own])
    assert load_method("borrowed") is load_method("mean") is fit
    assert method_names()[-1] == "borrowed"
    kind = TokenizerKind.sentencepiece_bpe
    table, _ = initialise(
        source_table(kind), target_tokenizer(kind), InitMethodConfig("borrowed"), RESOURCES, 0
    )
    assert table.provenance["method"] == "borrowed"


def test_options_that_make_no_sense_are_faults():
    assert [fault.key for fault in collect_faults(CopyOnlyInit(copy_overlap=False))] == [
        "copy_overlap"
    ]
    wrong = LexiconInit(noise_std=-1, prefix_min_chars=-1, stem_min_chars=-1, internal_min_chars=0)
    assert {fault.key for fault in collect_faults(wrong)} == {
        "noise_std", "prefix_min_chars", "stem_min_chars", "internal_min_chars"
    }  # fmt: skip


def test_a_source_with_nan_is_refused_before_the_fit():
    kind = TokenizerKind.sentencepiece_bpe
    source = source_table(kind)
    source.input[3, 1] = float("nan")
    with pytest.raises(CompatibilityError, match="row 3"):
        initialise(source, target_tokenizer(kind), LexiconInit(), RESOURCES, 0)


def test_a_methods_version_changes_the_keys_of_its_own_steps_alone(monkeypatch):
    from franken.steps.keys.vocabulary import method_options

    before = method_options(LexiconInit()), method_options(CopyOnlyInit())
    monkeypatch.setattr(LexiconInit, "version", 2)
    assert method_options(LexiconInit()) != before[0]
    assert method_options(CopyOnlyInit()) == before[1]
