"""Known evaluation sets: one file each, read on the hub or in local files as published."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.config.checks import collect_faults
from franken.config.data import FileData
from franken.config.eval_set import EvaluationPlace, EvaluationSource, PublishedSource
from franken.config.register import register_schemas
from franken.config.sources import FileFormat
from franken.data import open_data
from franken.data.schemas import schema_names

CONF = Path(__file__).parents[2] / "conf"
SETS = sorted(path.stem for path in (CONF / "eval_set").glob("*.yaml"))


def load(option: str, *overrides: str) -> FileData:
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("config", overrides=[f"data={option}", *overrides]).data
    config = OmegaConf.to_object(node)
    assert isinstance(config, FileData)
    return config


@pytest.fixture(scope="module")
def known() -> dict[str, EvaluationSource]:
    return load("local", *(f"+eval_set@data.evaluation.{name}={name}" for name in SETS)).evaluation


@pytest.mark.parametrize("name", SETS)
def test_every_set_joins_any_data_option(name: str, known: dict[str, EvaluationSource]) -> None:
    one = known[name]
    assert collect_faults({name: one}) == []
    assert one.schema in schema_names()
    for place in EvaluationPlace:
        found = one.at(place)
        assert found.path
        assert (found.hub, found.local) == (None, None)
    if one.hub is not None:
        assert one.at(EvaluationPlace.hub).format is FileFormat.hub


def test_a_place_brings_its_fields_and_the_set_its_codes() -> None:
    known = EvaluationSource(
        schema="xcopa", codes={"sw": "swh", "ta": "tam"}, limit=3,
        hub=PublishedSource(path="org/set", format=FileFormat.hub, config="{lang}"),
        local=PublishedSource(path="{root}/{lang}.jsonl", codes={"ta": "tamil"}, limit=9),
    )  # fmt: skip
    hub, local = known.at(EvaluationPlace.hub), known.at(EvaluationPlace.local)
    assert (hub.path, hub.config, hub.codes) == ("org/set", "{lang}", {"sw": "swh", "ta": "tam"})
    assert (local.path, local.config) == ("{root}/{lang}.jsonl", None)
    assert local.codes == {"sw": "swh", "ta": "tamil"}
    assert (hub.limit, local.limit, local.schema) == (3, 3, "xcopa")


def test_a_path_of_ones_own_wins() -> None:
    own = EvaluationSource(path="mine.jsonl", hub=PublishedSource(path="org/set"))
    assert own.at(EvaluationPlace.hub) is own


def test_languages_are_those_that_both_have() -> None:
    config = load("hub_adaptation", "data.languages=[sw,de,ko]")
    source = open_data(config)
    assert source.task_languages("arithmetic") == ["en", "sw", "de"]  # no Korean in MGSM
    assert source.task_languages("commonsense") == ["sw"]
    assert source.task_languages("topic_classification") == ["en", "sw", "de", "ko"]


def test_a_set_is_read_from_files_as_published(tmp_path: Path) -> None:
    folder = tmp_path / "eval" / "sib200" / "yor_Latn"
    folder.mkdir(parents=True)
    (folder / "test.tsv").write_text("index_id\tcategory\ttext\n1\tsports\tBọọlu\n", "utf-8")
    config = load(
        "local", f"data.root={tmp_path}", "data.languages=[yo]",
        "+eval_set@data.evaluation.mine=sib200",
    )  # fmt: skip
    assert open_data(config).task_rows("mine", "yo")[0]["text"] == "Bọọlu"
