"""Curves and reports."""

import pytest

from franken.training.state import RunState, is_curve_point


@pytest.mark.parametrize("steps", [1, 3, 500, 501, 1100, 99_999])
def test_the_curve_of_any_run_has_at_most_five_hundred_points_and_the_last_step(steps):
    points = [step for step in range(1, steps + 1) if is_curve_point(step, steps)]
    assert min(steps, 250) <= len(points) <= 500
    assert points[-1] == steps


def test_a_point_is_the_mean_since_the_point_before():
    state = RunState()
    for step, loss in enumerate((1.0, 2.0, 6.0), 1):
        state.add_step(loss, tokens=10)
        if step != 1:
            state.close_window(lr=0.1, grad_norm=2.0)
    assert [point["loss"] for point in state.curve] == [1.5, 6.0]
    assert state.tokens == 30


def test_a_state_survives_plain_form():
    state = RunState()
    state.add_step(2.0, tokens=3)
    state.close_window(lr=0.1, grad_norm=1.0)
    state.add_validation(0.6931471805599453)
    assert state.validation[0]["bits"] == pytest.approx(1.0)
    assert RunState(**state.plain()) == state
