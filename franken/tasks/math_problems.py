"""Math word problems: generation, exact match of the last number as the language writes it."""

from __future__ import annotations

from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    from franken.eval_suite.generated import generated, truncation
    from franken.eval_suite.numbers import last_number, read_differently
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units


@task_kind
class MathProblems(EvalTask):
    """Generation, exact match of the last number."""

    kind: ClassVar[str] = "math"
    schemas: ClassVar[tuple[str, ...]] = ("mgsm", "gsm8k")

    def run(self, task: TaskRun) -> None:
        """Score ``acc_exact``, the share of items whose last generated number is the answer.

        ``ambiguous`` counts answers that say another number where the point separates decimals than
        where the comma does; the language has decided them.
        """
        for lang, items, results in generated(
            task, lambda item: {"question": item.question}, lambda item: item.answer
        ):
            for item, result in zip(items, results, strict=True):
                text = str(result["generation"])
                guess = last_number(text, lang)
                result["prediction"] = None if guess is None else str(guess)
                result["ambiguous"] = read_differently(text)
                result["answer"] = item.answer
                # gold answers are plain digits already, whatever the language
                result["correct"] = guess is not None and guess == last_number(item.answer, "en")
            right = [float(bool(result["correct"])) for result in results]
            task.score(
                lang, "acc_exact", Units.of([item.id for item in items], right),
                ambiguous=sum(bool(result["ambiguous"]) for result in results),
                **truncation(results),
            )  # fmt: skip
            task.keep(results)
