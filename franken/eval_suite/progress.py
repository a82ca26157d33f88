"""How far an evaluation is: a bar on a terminal, a plain line now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from franken.progress import Lines

Advance = Callable[[str, int, int], None]
"""Told what is under way, how many of its items are done, and how many there are."""


@contextmanager
def shown_progress(enabled: bool, *, lines: bool = True) -> Iterator[Advance]:
    """Yields ``advance(label, done, total)``; draws on standard error if that is a terminal.

    Args:
        enabled: whether to show anything.
        lines: whether to write a line now and then where there is no terminal.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not enabled or not (lines or console.is_terminal):
        yield lambda label, done, total: None
        return
    if not console.is_terminal:
        yield Lines("evaluating")
        return
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        current = bar.add_task("", total=None, rate="")
        shown = ""

        def advance(label: str, done: int, total: int) -> None:
            nonlocal shown
            if label != shown:
                bar.reset(current, total=total, description=label)
                shown = label
            speed = bar.tasks[0].speed
            bar.update(current, completed=done, rate=f"{speed:.3g}/s" if speed else "")

        yield advance
