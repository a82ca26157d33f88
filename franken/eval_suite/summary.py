"""Summaries: generation, chrF (Trans-Tokenization T3) and chrF++ against the reference."""

from franken.eval_suite.generated import continue_items, truncation
from franken.eval_suite.suite import TaskRun
from franken.eval_suite.translation import interval, resampled_score, spread


def run(task: TaskRun) -> None:
    """Summarise each text in its own language; other lengths of summary are not penalised."""
    known = set(task.data.task_languages(task.config.source))
    for lang in task.languages(known.__contains__):
        items = task.read(lang, limit=task.config.limit)
        references = [item.answers[0] for item in items]
        results = continue_items(
            task, lang, items, lambda item: item.fields, lambda item: item.answers[0]
        )
        for result, reference in zip(results, references, strict=True):
            result["reference"] = reference
        guesses = [str(result["generation"]) for result in results]
        for metric in ("chrf", "chrf++"):
            value, draws, signature = resampled_score(metric, guesses, references, seed=task.seed)
            bounds = (
                {} if draws is None else dict(zip(("low", "high"), interval(draws), strict=True))
            )
            task.add(
                lang, metric, value, len(items), spread(draws), signature=signature, **bounds,
                **truncation(results),
            )  # fmt: skip
        task.keep(results)
