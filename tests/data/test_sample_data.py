"""The shipped option ``data=sample`` on the sample data, where they are present."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.config.checks import collect_faults
from franken.config.data import DataConfig
from franken.config.register import register_schemas
from franken.data import open_data
from franken.data.schemas import read_items
from franken.data.source import DataSource

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))


def load(option: str, *overrides: str) -> DataConfig:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose(f"data/{option}", overrides=list(overrides)).data
    config = OmegaConf.to_object(node)
    assert isinstance(config, DataConfig)
    return config


@pytest.fixture
def source(samples: Path) -> DataSource:
    return open_data(load("sample", f"data.root={samples}"))


@pytest.mark.parametrize("option", OPTIONS)
def test_options_compose_without_faults(option: str) -> None:
    config = load(option)
    assert collect_faults(config) == []
    assert (CONF / "data" / f"{option}.yaml").read_text().startswith("# ")
    if option == "hub_xtransplant":  # question sets alone: nothing to train on
        assert config.mixtures == {}
        return
    assert set(config.mixtures) >= {"pretraining", "adaptation", "instructions", "mix"}
    assert set(config.mixtures["instructions"].shares) == {"instructions"}
    assert config.mixtures["adaptation"].source_share == 0.308


def test_sample_passes_its_checks(source: DataSource) -> None:
    source.validate()


def test_record_counts_are_those_of_the_manifest(source: DataSource) -> None:
    counts = {lang: sum(1 for _ in source.texts("documents", lang)) for lang in ("en", "sw", "am")}
    assert counts == {"en": 6254, "sw": 989, "am": 673}
    assert sum(1 for _ in source.texts("documents", "ta", "valid")) == 30
    assert sum(1 for _ in source.pairs("sw")) == 24_736


def test_lexicon_has_each_pair_once(source: DataSource) -> None:
    entries = source.lexicon("am")
    assert 700 < len(entries) == len(set(entries)) <= 753
    assert all(source and target for source, target in entries)


def test_every_evaluation_set_becomes_items(source: DataSource) -> None:
    expected = {
        "topic_classification": 204, "commonsense": 500, "translation": 1012, "arithmetic": 250,
    }  # fmt: skip
    assert source.tasks() == sorted(expected)
    for task, count in expected.items():
        for lang in source.task_languages(task):
            rows = source.task_rows(task, lang)
            items = read_items(source.task_schema(task), rows, lang=lang, source_lang="en")
            assert len(items) == count
    assert len(source.task_rows("arithmetic", "sw", "train")) == 8


@pytest.mark.parametrize(
    ("name", "lang", "count"),
    [("sib200", "am", 204), ("xcopa", "ta", 500), ("flores", "tt", 1012), ("mgsm", "sw", 250),
     ("gsm8k", "en", 1319), ("global_mmlu_lite", "id", 400), ("xquad", "de", 1190)],
)  # fmt: skip
def test_known_sets_read_the_files_as_published(
    samples: Path, name: str, lang: str, count: int
) -> None:
    languages = f"data.languages=[{'sw' if lang == 'en' else lang}]"
    joined = f"+eval_set@data.evaluation.looked_at={name}"
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        chosen = ["data=sample", f"data.root={samples}", languages, joined]
        config = OmegaConf.to_object(compose("config", overrides=chosen).data)
    assert isinstance(config, DataConfig)
    rows = open_data(config).task_rows("looked_at", lang)
    schema = config.evaluation["looked_at"].schema
    assert len(read_items(schema, rows, lang=lang, source_lang="en")) == count
