"""Averages over groups, as the Franken-Adapter paper forms them."""

from collections.abc import Mapping


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
