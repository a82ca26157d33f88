"""Option scoring where all options begin alike: the shared beginning is fed before logits are read.

``(A)``, ``(B)`` begin with a bracket, so the first new token says nothing about the choice. The
same runs are made once more with the bracket given, and the logits that follow it are compared: as
many decoding steps as the beginning has tokens, and one.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from franken.inference.xtransplant.contract import Decoding, Runs, Task


def watch_options(
    runs: Runs,
    tasks: Sequence[Task],
    decoding: Decoding,
    again: Callable[[list[Task], Decoding], Runs],
) -> Runs:
    """The runs with ``watched`` filled in, where a task has a lead; else as they are.

    Args:
        runs: answers of ``tasks``.
        tasks: what was answered.
        decoding: as the answers were decoded.
        again: makes runs of the same rows, for tasks and decoding that feed the leads.
    """
    longest = max(len(task.lead) for task in tasks)
    if not longest:
        return runs
    bare = [replace(task, draft=(), decided=None, solved=None) for task in tasks]
    scored = again(bare, decoding.scoring(longest))
    runs.watched = scored.watched
    runs.layer_tokens += scored.layer_tokens
    return runs
