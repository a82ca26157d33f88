"""Values of a recipe's steps are typed as those of the command line."""

from dataclasses import dataclass, field

import pytest

from franken.config.data import DataConfig, MicroworldData, Sampling
from franken.config.training import LoraConfig, Schedule, TrainingConfig
from franken.declare.typed import typed_value
from tests.faults import raises


@dataclass
class Fields:
    share: float = 0.0
    count: int | None = None
    names: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    sampling: Sampling = Sampling.unimax
    data: DataConfig | None = None


@dataclass
class Tuned:
    training: TrainingConfig = field(default_factory=TrainingConfig)


WORLD = MicroworldData()


@pytest.mark.parametrize(
    ("name", "value", "made"),
    [("share", 1, 1.0), ("count", None, None), ("count", 3, 3), ("names", ["a"], ["a"]),
     ("tables", {"en": "base"}, {"en": "base"}), ("sampling", "temperature", Sampling.temperature),
     ("data", WORLD, WORLD), ("data", None, None)],
)  # fmt: skip
def test_a_value_becomes_what_its_field_says(name, value, made):
    found = typed_value(Fields, name, value)
    assert found == made
    assert type(found) is type(made)


@pytest.mark.parametrize(
    ("name", "value"),
    [("share", None), ("share", "much"), ("count", 1.5), ("names", "a"), ("names", {"a": 1}),
     ("tables", ["en"]), ("sampling", "unimx"), ("data", Fields())],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(name, value):
    with raises(ValueError):
        typed_value(Fields, name, value)


def test_a_training_of_a_step_is_what_differs_from_the_defaults():
    found = typed_value(Tuned, "training", {"steps": 7, "schedule": "wsd", "lora": {"rank": 2}})
    lora = LoraConfig(rank=2)
    assert found == TrainingConfig(steps=7, schedule=Schedule.wsd, lora=lora)
    for wrong, named in (
        ({"stepz": 7}, "'steps'"), ({"steps": "many"}, "steps"), ({"lora": {"rnk": 1}}, "rnk"),
        ({"batch_size": 3, "accumulate": 2}, "batch_size"), ("7", "TrainingConfig"),
    ):  # fmt: skip
        with raises(ValueError, named):
            typed_value(Tuned, "training", wrong)
    with raises(ValueError, "DataConfig"):  # one choice of several
        typed_value(Fields, "data", {"source_language": "en"})


def test_the_nearest_choice_is_named():
    with raises(ValueError, "'unimx'", "'unimax'"):
        typed_value(Fields, "sampling", "unimx")
