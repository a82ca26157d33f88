"""Learning rates by hand."""

import pytest

from franken.config.training import Schedule, TrainingConfig
from franken.errors import ConfigError
from franken.training.schedule import learning_rate
from tests.faults import raises


def rates(**changes: object) -> list[float]:
    config = TrainingConfig(steps=10, lr=2.0, **changes)  # type: ignore[arg-type]
    return [learning_rate(config, step) for step in range(10)]


def test_constant_with_warm_up_reaches_the_peak_at_the_last_warm_up_step():
    assert rates(warmup=0.4) == [0.5, 1.0, 1.5, 2.0] + [2.0] * 6


def test_constant_without_warm_up():
    assert rates() == [2.0] * 10


def test_linear_falls_in_equal_steps_to_the_final_share():
    found = rates(schedule=Schedule.linear, final_lr_ratio=0.5)
    assert found == pytest.approx([2.0 - 0.1 * step for step in range(10)])


def test_cosine_by_hand():
    found = rates(schedule=Schedule.cosine, warmup=0.2, final_lr_ratio=0.1)
    assert found[:3] == pytest.approx([1.0, 2.0, 2.0])
    assert found[6] == pytest.approx(1.1)  # half way: 0.1 + 0.9 / 2
    assert found[4] == pytest.approx(0.2 + 1.8 * (1 + 2**-0.5) / 2)  # a quarter of the way


@pytest.mark.parametrize("schedule", list(Schedule))
def test_a_phase_of_warm_up_only_never_divides_by_zero(schedule):
    config = TrainingConfig(steps=1, lr=1.0, warmup=1.0, schedule=schedule)
    assert learning_rate(config, 0) == 1.0


def test_wsd_stays_and_then_falls_in_equal_steps():
    found = rates(schedule=Schedule.wsd, warmup=0.2, decay=0.4, final_lr_ratio=0.5)
    assert found == pytest.approx([1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 1.75, 1.5, 1.25])


def test_runs_of_one_stable_stretch_differ_in_their_decay_alone():
    short, long = rates(schedule=Schedule.wsd, decay=0.1), rates(schedule=Schedule.wsd, decay=0.3)
    assert short[:8] == long[:8] == [2.0] * 8


def test_warm_up_and_decay_fit_into_the_steps():
    with raises(ConfigError, "decay"):
        rates(schedule=Schedule.wsd, warmup=0.6, decay=0.5)
