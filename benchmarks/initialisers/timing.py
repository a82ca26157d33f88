"""One clock for all that is timed: wall time, or processor time where others use the machine."""

import time

_clock = time.perf_counter


def now() -> float:
    """Seconds since some moment."""
    return _clock()


def count_processor_time() -> None:
    """From now on, count what this process computes and not how long it waits for its turn."""
    global _clock
    _clock = time.process_time
