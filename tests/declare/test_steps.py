"""Step kinds: found by walking, keyed and run by their own class."""

from franken.config.root import Config
from franken.steps.base import Step, step_kinds
from franken.steps.common.keys import step_key
from tests.faults import raises


def test_every_kind_says_what_enters_its_key_and_what_it_does():
    for kind, cls in step_kinds().items():
        assert cls.kind == kind
        assert cls.__module__ == f"franken.steps.{kind}"
        assert cls.key is not Step.key
        assert cls.run is not Step.run


def test_a_kind_that_does_not_say_it_is_refused():
    class Other(Step):
        kind = "other"

    with raises(NotImplementedError, "'other'"):
        step_key(Other(), {}, Config())
