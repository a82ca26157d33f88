"""Paired differences between runs on the same samples, with bootstrap intervals.

An upper bound against its controls and against sampled answers at equal budget; a fixed pair
against the prompts without one; the same run on two models.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from franken.report.tables import Group, Table, View
from franken.report.transplant_summaries import Transplant
from franken.resampling import best_of, bootstrap_mean

PLAIN = {"vanilla": "vanilla", "pivot": "source-language prompt", "pim": "PIM"}


def difference_table(transplants: Sequence[Transplant]) -> Table | None:
    """All comparisons that the summaries allow, in the order of the runs."""
    table = Table(
        "transplant-differences", "Differences on the same samples, points of per cent",
        ("run", "set"), [Group("", ("against", "difference", "95 % interval"))],
        notes=["Paired bootstrap over questions, each in all its languages. Upper bounds are "
               "compared with upper bounds of as many runs, a fixed pair with single answers."],
    )  # fmt: skip
    for one in transplants:
        for name in one.sets:
            mine = one.overall(name)
            for against, gaps in _gaps(one, name, mine, transplants):
                # ids are set/language/question: a question in several languages is one
                asked = [key.split("/", 2)[-1] for key in mine["ids"]]
                value, low, high = bootstrap_mean(gaps, clusters=asked)
                table.labels.append((one.label, name))
                table.views.append([
                    View(against), View(f"{100 * value:+.1f}", value),
                    View(f"{100 * low:+.1f} to {100 * high:+.1f}"),
                ])  # fmt: skip
    return table if table.labels else None


def _gaps(
    one: Transplant, name: str, mine: dict[str, Any], transplants: Sequence[Transplant]
) -> Iterator[tuple[str, list[float]]]:
    if not mine.get("ids"):
        return
    searched = mine["pairs"] > 1 or mine.get("cut")
    if not searched:
        for run, verdicts in mine.get("plain_right", {}).items():
            yield PLAIN[run], _minus(mine["right"], verdicts)
    elif mine.get("sampled_right") and not mine.get("cut"):
        k = min(mine["pairs"], mine["draws"])
        bound = best_of(np.array(mine["right"]), mine["pairs"], k).tolist()
        drawn = best_of(np.array(mine["sampled_right"]), mine["draws"], k).tolist()
        yield f"{k} sampled answers", _minus(bound, drawn)
    if one.content["inference"].get("donor") != "translation":
        return
    for other in transplants:
        theirs = other.overall(name) if name in other.sets else {}
        if other is one or theirs.get("ids") != mine["ids"] or theirs["pairs"] != mine["pairs"]:
            continue
        against = _against(one, other)
        if against:
            reached = [[float(right > 0) for right in side["right"]] for side in (mine, theirs)]
            yield against, _minus(*reached)


def _against(one: Transplant, other: Transplant) -> str | None:
    """What another run is to this one: a control on the same model, or another model."""
    aside = ("donor", "baselines", "samples")
    mine, theirs = ({k: v for k, v in t.content["inference"].items() if k not in aside}
                    for t in (one, other))  # fmt: skip
    if mine != theirs or one.content["portion"] != other.content["portion"]:
        return None
    donor, models = other.content["inference"].get("donor"), (
        one.content["model"], other.content["model"]
    )  # fmt: skip
    if models[0] == models[1]:
        return str(donor) if donor != "translation" else None
    return other.label if donor == "translation" else None


def _minus(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]
