"""Averages over groups, as the Franken-Adapter paper forms them."""

from collections.abc import Mapping, Sequence


def macro_average(
    tasks: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> float:
    """Mean over tasks of the mean over each task's groups.

    Args:
        tasks: task -> group (language group, answer setting, ...) -> value.
        weights: task -> group -> weight, for groups that stand for several entries; groups not
            named weigh 1.

    Raises:
        ValueError: for no task, or a task without groups.
    """
    if not tasks or any(not groups for groups in tasks.values()):
        raise ValueError("tasks is empty or one of them has no group: an average needs one of each")
    means = []
    for task, groups in tasks.items():
        own = (weights or {}).get(task, {})
        total = sum(own.get(group, 1.0) for group in groups)
        means.append(sum(own.get(group, 1.0) * value for group, value in groups.items()) / total)
    return sum(means) / len(means)


PAPER_COLUMNS = (
    ("BELEBELE", ("SEA", "AFR", "IND")),
    ("SIB", ("SEA", "AFR", "IND")),
    ("FLORES", ("SEA", "AFR", "IND")),
    ("XORQA", ("indic", "english")),
    ("XSUM", ("indic", "english")),
)
"""Columns of Table 2 without the English benchmarks, in printed order."""
XSUM_INDIC_LANGUAGES = 29


def paper_average(values: Sequence[float], *, count_xsum_english: bool = True) -> float:
    """``Avg`` of Tables 2 and 4 from the 13 group values of a row, in printed order.

    The paper averages XSum over 30 entries, 29 Indic languages and English, although its caption
    leaves English out; ``count_xsum_english=False`` follows the caption.
    """
    expected = sum(len(groups) for _, groups in PAPER_COLUMNS)
    if len(values) != expected:
        raise ValueError(f"a row has {expected} group values, got {len(values)}")
    rest = iter(values)
    tasks = {task: {group: next(rest) for group in groups} for task, groups in PAPER_COLUMNS}
    if not count_xsum_english:
        del tasks["XSUM"]["english"]
    return macro_average(tasks, {"XSUM": {"indic": XSUM_INDIC_LANGUAGES}})
