"""Curves of training that a run did not do from its first step."""

import csv
import json
from types import SimpleNamespace

import pytest

from franken.run import Runner

REPORT = {
    "curve": [{"step": 1, "loss": 3.0, "lr": 0.1}, {"step": 2, "loss": 2.5, "lr": 0.2}],
    "validation": [{"step": 2, "loss": 2.75, "bits": 4.0}],
}


@pytest.mark.parametrize(
    ("resumed_at", "left", "expected"),
    [
        (0, "", [3.0, 2.5, 2.75]),  # trained elsewhere
        (1, "step,train/loss\n2,2.5\n", [3.0, 2.5, 2.75]),  # by two runs, of which this is one
        (0, "step,train/loss\n1,9.0\n", [9.0]),  # here: as its logger wrote it
    ],
)
def test_a_curve_holds_every_step_of_its_training(tmp_path, resumed_at, left, expected) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "training.json").write_text(json.dumps(REPORT | {"resumed_at": resumed_at}))
    curve = tmp_path / "curves" / "tuned" / "metrics.csv"
    curve.parent.mkdir(parents=True)
    if left:
        curve.write_text(left)
    Runner.write_curves(
        SimpleNamespace(  # type: ignore[arg-type]
            graph=SimpleNamespace(needed=lambda: ["tuned"]),
            keys={"tuned": None},
            store=SimpleNamespace(path_of=lambda key: tmp_path),
            run_dir=tmp_path,
        )
    )
    with curve.open() as handle:
        rows = list(csv.DictReader(handle))
    losses = [row.get("train/loss") or row["valid/loss"] for row in rows]
    assert [float(loss) for loss in losses] == expected
