"""One package that adds an initialiser, a vocabulary, a step, a task, a router and a family."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def shown_in(page: str, heading: str) -> str:
    """The code that a page shows under a heading."""
    after = (ROOT / page).read_text().split(f"## {heading}\n")[1]
    shown = re.search(r"```python\n(.*?)```", after, re.DOTALL)
    assert shown is not None
    return shown[1]


def initialiser() -> str:
    """The method that the page of initialisers shows."""
    shown = shown_in("docs/init_methods.md", "Adding one")
    return shown.replace("@option\n", '@option(name="first_piece")\n')


SAME_VOCAB = '''
from franken.declare import option
from franken.vocab.base import Vocab

@option(name="same")
class Same(Vocab):
    """The base's own, under another name."""

    def build(self, base, texts):
        from franken.vocab.original import OriginalVocab
        return OriginalVocab().build(base, texts)
'''
COUNT_ROWS = '''
from __future__ import annotations
from typing import Any, ClassVar
from franken.lazy import later
from franken.steps.base import Part, Step, step
with later():
    from franken.files import write_json
    from franken.parts.table import load_table
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
        rows = load_table(open_model(context.inputs["model"], context.store).table).rows
        score = {"task": "rows", "lang": "any", "metric": "rows", "n": 1}
        score["value"] = rows * self.times
        write_json(context.directory / "scores.json", [score])
        return {}
'''
COUNT_LETTERS = '''
from __future__ import annotations
from typing import ClassVar
from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind
with later():
    from franken.statistics import Units

@task_kind
class CountLetters(EvalTask):
    """How often a letter stands in the held-out text, per document."""
    reads_text: ClassVar[bool] = True
    def run(self, task):
        for lang in task.languages(task.speaks):
            counts = [text.count(task.config.options["letter"]) for text in task.held_out(lang)]
            task.score(lang, "letters", Units.of([str(i) for i in range(len(counts))], counts))
'''
COIN = '''
from franken.declare import option
from franken.router.base import LearnedRouter

@option(name="narrow")
class Narrow(LearnedRouter):
    """A router of eight hidden units."""
    width: int = 8
'''
MODULES = {
    "elsewhere": initialiser(),
    "first_last": shown_in("CONTRIBUTING.md", "An initialiser in one file"),
    "same_vocab": SAME_VOCAB, "count_rows": COUNT_ROWS,
    "count_letters": COUNT_LETTERS, "narrow": COIN,
    "family": 'FACTS = {"refused": "its table is hashed"}\n',
}  # fmt: skip
POINTS = {
    "franken.init_method": {
        "first_last": "first_last:FirstLastInit",
        "first_piece": "elsewhere:FirstPiece",
    },
    "franken.vocab": {"same": "same_vocab:Same"},
    "franken.steps": {"count_rows": "count_rows:CountRows"},
    "franken.tasks": {"count_letters": "count_letters:CountLetters"},
    "franken.router": {"narrow": "narrow:Narrow"},
    "franken.families": {"hashed": "family:FACTS"},
}
