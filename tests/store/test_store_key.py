"""Keys: stable, order-free, and strict about what they are made of."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from franken.errors import ConfigError
from franken.store import StepKey
from tests.faults import raises


class Scope(StrEnum):
    body = "body"


@dataclass
class Slice:
    lr: float = 0.5
    scope: Scope = Scope.body
    betas: tuple[float, float] = (0.9, 0.95)


def test_key_is_the_sha256_of_the_canonical_spec_and_never_changes():
    text = '{"config":{"lr":0.5},"inputs":{},"kind":"train","seed":0,"version":1}'
    key = StepKey.of("train", 1, config={"lr": 0.5}, seed=0)

    assert key.key == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert key.key == "bc1cc3cd1f3e7c5a334abcce0ac34462"


def test_order_of_keys_does_not_matter():
    one = StepKey.of("train", 1, config={"a": 1, "b": {"c": 2, "d": 3}}, x=1, y=2)
    two = StepKey.of("train", 1, y=2, x=1, config={"b": {"d": 3, "c": 2}, "a": 1})

    assert one == two
    assert hash(one) == hash(two)


def test_dataclasses_enums_tuples_and_whole_floats_have_one_form():
    plain = {"lr": 0.5, "scope": "body", "betas": [0.9, 0.95]}

    assert StepKey.of("train", 1, config=Slice()) == StepKey.of("train", 1, config=plain)
    assert StepKey.of("t", 1, config={"x": 1.0}) == StepKey.of("t", 1, config={"x": 1})
    assert StepKey.of("t", 1, config={"x": -0.0}) == StepKey.of("t", 1, config={"x": 0})
    assert StepKey.of("t", 1, config={"b", "a"}) == StepKey.of("t", 1, config={"a", "b"})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "swap"},
        {"version": 2},
        {"config": {"lr": 0.25}},
        {"config": {"lr": 0.5, "more": None}},
        {"inputs": {"model": "0" * 32}},
        {"seed": 1},
        {"seed": None},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_every_part_changes_the_key(change):
    parts = {"kind": "train", "version": 1, "config": {"lr": 0.5}, "seed": 0}
    base = StepKey.of(**parts)

    assert StepKey.of(**(parts | change)).key != base.key


def test_true_and_one_and_the_string_one_are_three_things():
    assert len({StepKey.of("t", 1, config={"x": x}).key for x in (True, 1, "1")}) == 3


def test_inputs_may_be_keys_steps_or_artefacts():
    base = StepKey.of("load", 1)

    assert StepKey.of("t", 1, inputs={"a": base}) == StepKey.of("t", 1, inputs={"a": base.key})
    assert StepKey.of("t", 1, inputs={"a": base}).inputs == {"a": base.key}
    with raises(ConfigError, "'a'", "'t'", "'base'", "StepKey"):
        StepKey.of("t", 1, inputs={"a": "base"})


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"optimizer": {"lr": float("nan")}}, ["config.optimizer.lr", "nan"]),
        ({"steps": [1, object()]}, ["config.steps[1]", "object"]),
        ({"path": Path("a/b")}, ["config.path", "'a/b'"]),
        ({1: "x"}, ["config", 1, "int"]),
        ({"lang": "\ud800"}, ["config.lang", r"'\ud800'"]),
    ],
    ids=["nan", "object", "path", "integer key", "surrogate"],
)
def test_content_that_json_cannot_hold_is_named_by_its_place(value, names):
    with raises(ConfigError, "'train'", *names):
        StepKey.of("train", 1, config=value)


@pytest.mark.parametrize("kind", ["", "Train", "a/b", "..", "scratch", "locks", "damaged", ".tmp"])
def test_kinds_that_could_not_be_directories_are_refused(kind):
    with raises(ConfigError, repr(kind)):
        StepKey.of(kind, 1)
