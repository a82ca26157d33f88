"""Faults of a command line come all at once, with key, value, choices and nearest match."""

import copy
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from franken.cli.check import (
    check_command_line,
    config_faults,
    judge_command_line,
    to_config,
)
from franken.cli.listing import ADDED, groups_of, options_of
from franken.cli.paths import config_dir
from franken.config.checks import collect_faults, faults_later
from franken.config.register import register_schemas
from franken.declare import options as declared
from tests.faults import unnamed

register_schemas()

GROUPS = groups_of(config_dir())
EXPERIMENTS = [name for name, _ in options_of("experiment", config_dir())]


def faults_of(*overrides: str) -> dict[str, str]:
    return {f.key: f.message for f in check_command_line(list(overrides), config_dir())}


def test_a_sound_command_line_has_no_faults() -> None:
    assert faults_of("init_method=mean", "seed=3", "training.adaptation.lr=1e-4") == {}


def test_every_fault_is_reported_in_one_go() -> None:
    found = faults_of("init_method=lexcon", "training.adaptation.lrr=1", "sed=1", "seed=abc")
    assert set(found) == {"init_method", "training.adaptation.lrr", "sed", "seed"}
    assert "'lexicon'" in found["init_method"]
    assert "'lr'" in found["training.adaptation.lrr"]
    assert "'seed'" in found["sed"]
    assert "abc" in found["seed"]


@pytest.mark.parametrize(
    ("typed", "key", "nearest"),
    [
        ("+init_method.copy_overlp=2", "init_method.copy_overlp", "'copy_overlap'"),
        ("++sed=1", "sed", "'seed'"),
        ("+training.adaptation.lrr=1", "training.adaptation.lrr", "'lr'"),
    ],
)
def test_a_key_that_nobody_reads_cannot_be_added(typed: str, key: str, nearest: str) -> None:
    found = faults_of(typed)
    assert set(found) == {key}
    assert nearest in found[key]


@pytest.mark.parametrize(
    ("typed", "key", "says"),
    [
        ("trainer.max_steps=3", "trainer.max_steps", "training.PHASE.steps"),
        ("+trainer.gradient_clip_val=1", "trainer.gradient_clip_val", "training.PHASE.grad_clip"),
        ("trainer.profilr=simple", "trainer.profilr", "'profiler'"),
    ],
)
def test_an_argument_of_lightning_that_franken_sets_says_where(
    typed: str, key: str, says: str
) -> None:
    found = faults_of(typed)
    assert set(found) == {key}
    assert says in found[key]


def test_arguments_and_callbacks_of_lightning_are_options() -> None:
    assert faults_of("trainer.profiler=simple", "callbacks=timer") == {}


def test_mappings_take_new_keys() -> None:
    assert faults_of("word_vectors=files", "+word_vectors.paths.sw=/x", "+hydra.job.x=1") == {}


def test_what_is_judged_is_what_hydra_composes() -> None:
    typed = [
        "word_vectors=files", "+word_vectors.paths.sw=/x", "word_vectors.paths.sw=/y",
        "word_vectors.path='z/{lang}'", "~eval_suite.tasks.arithmetic", "init_method=focus",
        "training.adaptation.lr=1e-4", "data.mixtures.mix.shares={parallel: 0.5}",
    ]  # fmt: skip
    verdict = judge_command_line([*typed, "seed=7,8", "router=none,oracle"], config_dir())
    faults, found = verdict.faults, verdict.config
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        composed = compose("config", overrides=[*typed, "seed=7", "router=none"])
    assert faults == []
    assert found == to_config(composed)


def test_values_out_of_range_are_found_by_the_dataclasses() -> None:
    found = faults_of(
        "vocab.size=2", "training.repair.lora.rank=0", "data.mixtures.mix.temperature=0"
    )
    assert set(found) == {
        "vocab.size",
        "training.repair.lora.rank",
        "data.mixtures.mix.temperature",
    }


def test_an_invalid_choice_names_the_valid_ones() -> None:
    found = faults_of("training.adaptation.schedule=cosin")
    assert "cosine" in found["training.adaptation.schedule"]


def test_each_option_of_a_sweep_is_checked() -> None:
    found = faults_of("init_method=mean,lexicn", "seed=0,1")
    assert "lexicn" in found["init_method"]


def test_an_experiment_without_plus_says_how_to_write_it() -> None:
    assert "+experiment=quickstart" in faults_of("experiment=quickstart")["experiment"]


def test_a_language_that_yaml_misreads_is_refused_with_the_reason() -> None:
    found = faults_of("data.languages=[false]")
    assert "quote" in found["data.languages"]


@pytest.mark.parametrize("code", ["no", "nan", "on", "yes", "n"])
def test_language_codes_that_look_like_other_things_stay_codes(code: str) -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = to_config(compose("config", overrides=[f"data.languages=[{code}]"]))
    assert config.data.languages == [code]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_is_sound(experiment: str) -> None:
    needed = NEEDED.get(("experiment", experiment), [])
    assert faults_of(f"+experiment={experiment}", *needed) == {}


NEEDED = {
    ("alignment", "files"): ["alignment.table=x"],
    ("base_model", "checkpoint"): ["base_model.path=x"],
    ("eval_suite", "lm_eval"): ["eval_suite.tasks=[x]"],
    ("experiment", "neighbours/expansion"): ["base_model.path=x"],
    ("experiment", "neighbours/romansetu"): ["base_model.path=x"],
    ("experiment", "neighbours/romansetu_native"): ["base_model.path=x"],
    ("experiment", "real/initialisers"): ["base_model.path=x"],
    ("experiment", "real/scratch"): ["base_model.path=x"],
    ("experiment", "real/transplant"): ["base_model.path=x"],
    ("experiment", "real/hydra"): ["base_model.path=x"],
    ("experiment", "real/swap"): ["base_model.path=x"],
    ("experiment", "real/skill"): ["base_model.path=x"],
    ("experiment", "real/distilled"): ["base_model.path=x"],
    ("experiment", "real/other_tokenizer"): ["base_model.path=x", "vocab.path=x"],
    ("experiment", "real/closing"): ["base_model.path=x"],
    ("experiment", "real/tuned"): ["base_model.path=x"],
    ("composition", "hydra"): ["recipe=hydra_llm"],
    ("helper_model", "checkpoint"): ["helper_model.path=x"],
    ("init_method", "grounded"): ["init_method.tokens=x"],
    ("init_method", "named_tokens"): ["init_method.tokens=x"],
    ("recipe", "hydra_add_language"): ["composition=hydra"],
    ("recipe", "hydra_llm"): ["composition=hydra"],
    ("recipe", "awesome_align"): ["recipe.steps.on_text.split=adaptation"],
    ("recipe", "madx"): ["recipe.steps.both_languages.split=adaptation"],
    ("recipe", "unibridge_ensemble"): ["recipe.steps.second_language.split=adaptation"],
    ("recipe", "layra"): [
        f"recipe.steps.{step}.split=language" for step in ("second", "full_second")
    ],
    ("recipe", "parallel_schedules"): [
        "recipe.steps.spread.split=adaptation",
        "recipe.steps.last_one_way.split=parallel_text",
    ],
    ("recipe", "sambalingo"): ["data.preference_languages=[en]"],
    ("recipe", "translation_following"): ["recipe.steps.task_and_pairs.split=adaptation"],
    ("vocab", "from_pretrained"): ["vocab.path=x"],
    ("recipe", "xtransplant"): ["inference=xtransplant"],
    ("word_vectors", "files"): ["word_vectors.path=x/{lang}"],
}
"""What some options cannot do without."""


ALONE = ("alignment", "base_model", "helper_model", "logger", "pack", "vocab", "word_vectors")
"""Groups whose options no other part of the config asks about: they are composed by themselves."""
DECLARED = ("init_method", "pair_loss", "preference", "router")
"""Groups whose options are their declarations, defaults and all (tests/declare)."""
ELSEWHERE = ("data", "hydra/launcher")
"""Groups whose options need more to be sound than a config (files, packages): own tests."""
TOGETHER = [g for g in GROUPS if g not in (*ALONE, *DECLARED, *ELSEWHERE, *ADDED)]


@pytest.mark.parametrize("group", [g for g in GROUPS if g != "data"])
def test_every_option_says_what_it_is_for(group: str) -> None:
    for name, summary in options_of(group, config_dir()):
        assert summary, f"conf/{group}/{name}.yaml does not begin with a comment line"


def composed_options(group: str) -> dict[str, DictConfig]:
    """Name -> option of a group, by one composition (that of the whole takes half a second)."""
    names = [name for name, _ in options_of(group, config_dir())]
    each = [f"+{group}@options.{place}={name}" for place, name in enumerate(names)]
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return dict(zip(names, compose(overrides=each).options.values(), strict=True))


def own_needs(group: str, name: str) -> dict[str, str]:
    """What an option cannot do without, by its fields."""
    typed = (text.split("=") for text in NEEDED.get((group, name), []))
    return {key.removeprefix(f"{group}."): value for key, value in typed}


@pytest.mark.parametrize("group", ALONE)
def test_every_option_of_a_group_of_its_own_is_sound(group: str) -> None:
    for name, option in composed_options(group).items():
        option.merge_with(own_needs(group, name))
        with faults_later():
            assert collect_faults(OmegaConf.to_object(option)) == [], f"{group}={name}"


@pytest.fixture(scope="module")
def whole() -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config")


@pytest.mark.parametrize("group", DECLARED)
def test_every_declared_option_is_sound_in_the_whole(group: str, whole: DictConfig) -> None:
    config = to_config(whole)
    for name, option in declared(group).items():
        made = option(**own_needs(group, name))
        found = config_faults(replace(config, **{group: made}))
        assert found == [], f"{group}={name}"


@pytest.mark.parametrize("group", TOGETHER)
def test_every_option_is_sound_in_the_whole(group: str, whole: DictConfig) -> None:
    for name, option in composed_options(group).items():
        needed = NEEDED.get((group, name), [])
        if needed or group not in whole:
            assert faults_of(f"{group}={name}", *needed) == {}, f"{group}={name}"
            continue
        config = copy.deepcopy(whole)
        config[group] = option
        assert config_faults(to_config(config)) == [], f"{group}={name}"


def test_options_of_the_users_own_directory_are_found(tmp_path):
    (tmp_path / "init_method").mkdir()
    own = "# Mean rows of ours.\ndefaults:\n  - /schema/init_method/mean@_here_\n  - _self_\n"
    (tmp_path / "init_method" / "ours.yaml").write_text(own)
    (fault,) = check_command_line(["init_method=ours"], config_dir())
    assert fault.key == "init_method"
    assert check_command_line(["init_method=ours"], config_dir(), str(tmp_path)) == []
    assert check_command_line([], config_dir()) == []


def test_what_cannot_be_added_to_a_mapping_is_not_said_to_be_mistyped():
    (fault,) = check_command_line(["+eval_suite.tasks.mine.kind=bits_per_byte"], config_dir())
    assert fault.key == "eval_suite.tasks.mine.kind"
    assert "eval_suite/NAME.yaml" in fault.message
    assert "does not exist" not in fault.message
    (single,) = check_command_line(["+seed.a=3"], config_dir())
    assert single.key == "seed.a"
    assert not unnamed(single.message, "seed")
