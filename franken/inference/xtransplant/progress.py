"""How far a long run is: a file that is rewritten after every unit, a line now and then."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from franken.files import write_json
from franken.progress import TELL_EVERY, log


class Progress:
    """Answers given of a run that may have begun in an earlier process, and samples finished.

    Answers of different kinds (plain prompts, draws, transplants) take different times, so the rate
    is that of the kind under way, and the time left is the sum over kinds, each at the rate it has
    had in this process; unknown while a kind that is to come has not begun.
    """

    def __init__(
        self,
        path: Path,
        rows: Path,
        advance: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Args: ``path`` is the file, ``rows`` where finished units can be read."""
        self.path, self.rows, self._advance = path, rows, advance
        self.begin(0, {})

    def begin(self, samples: int, answers: Mapping[str, int]) -> None:
        """Start counting; ``answers`` maps each kind to how many there will be."""
        self._samples, self._finished = samples, 0
        self._left, self._total = Counter(answers), sum(answers.values())
        self._fresh: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._last = self._told = time.monotonic()

    def skip(self) -> None:
        """The time since the last unit is no unit's."""
        self._last = time.monotonic()

    def done(self, kind: str, answers: int, *, samples: int = 0, fresh: bool = True) -> None:
        """Note answers, and samples of which they were the last ones.

        Args:
            kind: of the answers.
            answers: how many.
            samples: how many samples are finished by them.
            fresh: whether they were computed in this process.
        """
        self._left[kind] -= answers
        self._finished += samples
        now = time.monotonic()
        if fresh:
            self._fresh[kind] += answers
            self._seconds[kind] += now - self._last  # type: ignore[assignment]
        self._last = now
        self._tell(kind, now)

    def _tell(self, kind: str, now: float) -> None:
        seconds, given = self._seconds[kind], self._total - sum(self._left.values())
        rate = self._fresh[kind] / seconds if seconds > 0 else 0.0
        left = self._seconds_left()
        self._advance(given, self._total)
        if now - self._told >= TELL_EVERY:
            self._told = now
            shown = "?" if left is None else f"{left:.0f}"
            log.info(
                "%d of %d samples, %d of %d answers, %.2f %s answers a second, %s s left",
                self._finished, self._samples, given, self._total, rate, kind, shown,
            )  # fmt: skip
        write_json(
            self.path,
            {"done": self._finished, "total": self._samples, "answers": given,
             "answers_total": self._total, "kind": kind, "per_second": rate, "seconds_left": left,
             "rows": str(self.rows)},
        )  # fmt: skip

    def _seconds_left(self) -> float | None:
        waiting = {kind: left for kind, left in self._left.items() if left > 0}
        if not all(self._fresh[kind] for kind in waiting):
            return None
        return sum(
            (left * self._seconds[kind] / self._fresh[kind] for kind, left in waiting.items()), 0.0
        )
