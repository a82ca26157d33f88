"""Every kind of step is known everywhere: its fields, its key, its code."""

from importlib.util import find_spec

import pytest

from franken.config.root import Config
from franken.config.steps import STEP_KINDS, StepConfig
from franken.steps.keys import SLICES, step_key


def test_every_kind_has_a_key_and_a_module() -> None:
    assert SLICES.keys() == STEP_KINDS.keys()
    for kind in STEP_KINDS:
        assert find_spec(f"franken.steps.{kind}"), kind


def test_a_kind_without_a_key_is_refused() -> None:
    class OtherStep(StepConfig):
        kind = "other"

    with pytest.raises(TypeError, match="no key is defined for step kind 'other'"):
        step_key(OtherStep(), {}, Config())
