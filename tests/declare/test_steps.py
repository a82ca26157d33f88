"""Step kinds: found by walking, keyed and run by their own class, extended by other packages."""

import json

import pytest

from franken.config.root import Config
from franken.steps.base import Step, step_kinds
from franken.steps.common.keys import step_key
from tests.declare.outside import install, python
from tests.recipes.conftest import TINY, TINY_MODEL


def test_every_kind_says_what_enters_its_key_and_what_it_does():
    for kind, cls in step_kinds().items():
        assert cls.kind == kind
        assert cls.__module__ == f"franken.steps.{kind}"
        assert cls.key is not Step.key
        assert cls.run is not Step.run


def test_a_kind_that_does_not_say_it_is_refused():
    class Other(Step):
        kind = "other"

    with pytest.raises(NotImplementedError, match="other"):
        step_key(Other(), {}, Config())


KIND = '''
from __future__ import annotations
from typing import Any, ClassVar
from franken.lazy import later
from franken.steps.base import Part, Step, step
with later():
    from franken.files import read_json, write_json
    from franken.steps.common.models import open_model

@step
class CountRows(Step):
    """Count the rows of a model's table: scores of its own."""
    output: ClassVar[Part] = Part.grid
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    seeded: ClassVar[bool] = False
    model: str = ""
    times: int = 1
    def key(self, config) -> dict[str, Any]:
        return {"times": self.times}
    def run(self, context) -> dict[str, Any]:
        from franken.parts.table import load_table
        rows = load_table(open_model(context.inputs["model"], context.store).table).rows
        score = {"task": "rows", "lang": "any", "metric": "rows", "n": 1}
        score["value"] = rows * self.times
        write_json(context.directory / "scores.json", [score])
        return {}
'''


@pytest.mark.slow
def test_a_kind_of_another_package_is_checked_keyed_and_run(tmp_path):
    """One file and its entry point; the recipe names it on the command line."""
    install(tmp_path, "count_rows", KIND, {"franken.steps": {"count_rows": "count_rows:CountRows"}})
    argv = [
        "-m", "franken", "recipe.evaluate=[]", "recipe.run=[counted]",
        f"store.path={tmp_path}/store", f"hydra.run.dir={tmp_path}/run", *TINY_MODEL, *TINY,
    ]  # fmt: skip
    wrong = python(tmp_path, *argv, "+recipe.steps.counted={step: count_row, model: base}")
    assert wrong.returncode == 2
    assert "'count_rows'" in wrong.stderr
    done = python(
        tmp_path, *argv, "+recipe.steps.counted={step: count_rows, model: base, times: 2}"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (line,) = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
    assert json.loads(line)["value"] == 2400
