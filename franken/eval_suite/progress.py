"""A progress bar on a terminal, nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def terminal_progress(enabled: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yields ``advance(label, done, total)``; draws on standard error if that is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield lambda label, done, total: None
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
