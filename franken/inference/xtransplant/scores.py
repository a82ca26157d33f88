"""Figures of a transplant as scores by set and language, and as one summary for the report."""

import math
from collections.abc import Iterator
from typing import Any

Score = dict[str, Any]
METRIC = {"strict": "acc", "lenient": "acc_lenient", "option": "acc_option"}
BOUND = {"strict": "upper_bound", "lenient": "upper_bound_lenient", "option": "upper_bound_option"}


def scores_of(
    sets: dict[str, Any], step: str, model: str, roles: dict[str, str], chance: dict[str, Any]
) -> Iterator[Score]:
    """Entries of ``scores.json``.

    Achieved accuracies (baselines, a fixed pair) are ``acc``; upper bounds, mean rates and sampled
    bounds have metrics of their own, as they are no accuracies that anything reaches.

    Args:
        sets: as ``bounds.blocks`` gives them.
        step: name of the step: the system in tables.
        model: what the baselines are listed under: the model's step and the part of the data.
        roles: language -> ``source``, ``target`` or ``other``.
        chance: ``set/lang`` -> accuracy of guessing, or ``None``.
    """
    for name, entry in sets.items():
        for lang, judges in entry["languages"].items():
            extra = {"lang_role": roles[lang], "chance": chance.get(f"{name}/{lang}")}
            for judge, figures in judges.items():
                for system, metric, value in _values(figures, judge, step, model):
                    own = extra if metric.startswith("acc") else {"lang_role": roles[lang]}
                    yield {
                        "model": system, "task": name, "lang": lang, "metric": metric,
                        "value": value, "n": figures["n"], "extra": own,
                        "stderr": math.sqrt(max(0.0, value * (1 - value)) / figures["n"]),
                    }  # fmt: skip


def _values(
    figures: dict[str, Any], judge: str, step: str, model: str
) -> Iterator[tuple[str, str, float]]:
    for baseline, value in figures["plain"].items():
        yield f"{model}: {baseline}", METRIC[judge], value["value"]
    if "upper_bound" not in figures:
        return
    if figures["pairs"] == 1 and not figures.get("cut"):
        yield step, METRIC[judge], figures["upper_bound"]["value"]
        return
    suffix = METRIC[judge].removeprefix("acc")
    yield step, BOUND[judge], figures["upper_bound"]["value"]
    if "upper_bound_with_vanilla" in figures:
        value = figures["upper_bound_with_vanilla"]["value"]
        yield step, f"upper_bound_with_vanilla{suffix}", value
    if "mean_rate" in figures:
        yield step, f"mean_rate{suffix}", figures["mean_rate"]["value"]
    if "sampled" in figures:
        most = max(figures["sampled"], key=int)
        yield step, f"sampled_bound{suffix}", figures["sampled"][most]["value"]
