"""Transplants in the report: bounds beside baselines and controls, with intervals and cautions."""

from collections.abc import Iterator, Sequence
from typing import Any

from franken.report.tables import Group, Table, View
from franken.report.transplant_differences import PLAIN, difference_table
from franken.report.transplant_summaries import Transplant

CAUTION = (
    "An upper bound is the best of many runs chosen with the gold answer at hand: no accuracy "
    "that anything reaches. Any diverse sampler drives it up, so read it beside the controls (own "
    "prompt, another question's translation, noise) and sampled answers at equal budget.",
    "The best pair of a sample is optimistic on that sample: the best of 1024 independent pairs "
    "that are all right with probability 0.33 is expected at 0.55 on 50 samples (0.47 of 32 "
    "pairs). Only a pair scored on samples that it was not chosen on is an accuracy.",
)


def transplant_tables(transplants: Sequence[Transplant]) -> list[Table]:
    """Bounds and baselines, then paired differences."""
    if not transplants:
        return []
    rows = [(t, name) for t in transplants for name in t.sets]
    table = Table(
        "transplants", "Transplants: accuracy (%), strict matcher, all languages [95 % interval]",
        ("run", "set"),
        [Group("prompted", ("vanilla", "pivot", "PIM")),
         Group("transplanted", ("a pair, on average", "best pair of this sample", "upper bound",
                                "with vanilla")),
         Group("equal budget", ("k", "best of k pairs", "best of k sampled"))],
        notes=[*CAUTION],
    )  # fmt: skip
    for transplant, name in rows:
        figures = transplant.overall(name)
        plain = figures.get("plain", {})
        views = [_interval(plain.get(run)) for run in ("vanilla", "pivot", "pim")]
        if figures.get("pairs", 0) and not (transplant.searched(name) or figures.get("cut")):
            views += [View(), View(), _interval(figures["upper_bound"], "the pair: "), View()]
        else:
            best = figures.get("best_pair")
            shown = ""
            if best:
                source, target = best["pair"]
                shown = f"{100 * best['value']:.1f} at {source} → {target}"
                shown = shown if best["value"] else "none is right"
            views += [
                _interval(figures.get("mean_rate")),
                View(shown, best["value"]) if best else View(),
                _interval(figures.get("upper_bound")),
                _interval(figures.get("upper_bound_with_vanilla")),
            ]
        alike = transplant.searched(name) or figures.get("pairs") == 1
        views += _equal_budget(figures if alike else {})
        table.labels.append((transplant.label, name))
        table.views.append(views)
    differences = difference_table(transplants)
    return [table, *([differences] if differences else []), *_by_language(transplants)]


def _by_language(transplants: Sequence[Transplant]) -> Iterator[Table]:
    for transplant in transplants:
        langs = list(dict.fromkeys(
            lang for entry in transplant.sets.values() for lang in entry["languages"]
        ))  # fmt: skip
        table = Table(
            f"transplant-{transplant.label}", f"{transplant.label}: by language", ("set", "figure"),
            [Group("", tuple(langs))],
        )  # fmt: skip
        for name, entry in transplant.sets.items():
            strict = [judges.get("strict", {}) for judges in entry["languages"].values()]
            one = any(own.get("pairs") == 1 and not own.get("cut") for own in strict)
            for judge in ("strict", "lenient", "option"):
                for key, shown in (
                    ("vanilla", "vanilla"),
                    ("mean_rate", "a pair, on average"),
                    ("upper_bound", "the pair" if one else "upper bound"),
                ):
                    cells = [
                        entry["languages"].get(lang, {}).get(judge, {}) for lang in langs
                    ]  # fmt: skip
                    own = [c.get("plain", {}).get(key) if key == "vanilla" else c.get(key)
                           for c in cells]  # fmt: skip
                    if any(own) and not (one and key == "mean_rate"):
                        table.labels.append((name, f"{shown}, {judge}"))
                        table.views.append([_interval(value) for value in own])
        yield table


def transplant_notes(transplants: Sequence[Transplant]) -> list[str]:
    """Cautions, and what was wrong with data and engines."""
    searched = any(t.searched(name) for t in transplants for name in t.sets)
    notes = list(CAUTION) if searched else []
    seen: set[str] = set()
    for transplant in transplants:
        for defect in transplant.content["defects"]:
            text = f"{defect['set']} {defect['lang']}: {defect['message']}."
            if defect["drops"]:
                dropped = transplant.content.get("dropped", True)
                text = text[:-1] + (
                    "; left out." if dropped else "; used all the same (prompts.defects=keep)."
                )
            seen.add(text)
        notes += _doubts(transplant)
    return [*notes, *sorted(seen)]


def _doubts(transplant: Transplant) -> Iterator[str]:
    """What limits one transplant's figures."""
    label, content = transplant.label, transplant.content
    inference = content["inference"]
    if inference.get("verify") == 0 and inference.get("engine") != "naive":
        yield (f"{label}: the engine was not compared with naive (inference.verify=0); rows "
               f"with margins below {content['unstable_below']:g} count as near ties.")  # fmt: skip
    if content["unstable_rows"]:
        yield (f"{label}: {content['unstable_rows']} rows nearly tie and might read differently "
               "with another engine or number format.")  # fmt: skip
    if content["truncated"]:
        yield f"{label}: {content['truncated']} samples have a prompt that lost its beginning."
    for run, count in content.get("truncated_baselines", {}).items():
        if count:
            yield f"{label}: {count} prompts of the baseline {PLAIN[run]} lost their beginning."
    if content["cut_samples"]:
        yield (f"{label}: samples ended at their first right pair, so there are upper bounds "
               "alone, no rates, heat maps or budget curves.")  # fmt: skip


def _equal_budget(figures: dict[str, Any]) -> list[View]:
    both = set(figures.get("budget", {})) & set(figures.get("sampled", {}))
    if not both:
        return [View(), View(), View()]
    k = max(both, key=int)
    return [View(k, float(k)), _interval(figures["budget"][k]), _interval(figures["sampled"][k])]


def _interval(found: dict[str, Any] | None, prefix: str = "") -> View:
    if not found:
        return View()
    text = f"{prefix}{100 * found['value']:.1f}"
    if found["low"] is not None:
        text += f" [{100 * found['low']:.0f}, {100 * found['high']:.0f}]"
    return View(text, found["value"])
