"""Texts of the world that this process drew before, as far as anybody read them.

Every vocabulary cuts the same text anew: a grid of trainings would draw it once for each.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator


class TextMemo:
    """Shares what is drawn among all who read a stream; safe for threads."""

    def __init__(self, most: int = 400_000) -> None:
        """Args: ``most`` texts are kept, some 100 bytes each; those read last."""
        self._most = most
        self._streams: OrderedDict[Hashable, _Stream] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: Hashable, count: int, draw: Callable[[], Iterator[str]]) -> Iterator[str]:
        """The texts of a stream, from its first.

        Args:
            key: all that the texts depend on.
            count: how many there are, about.
            draw: draws them from the first on.
        """
        if count > self._most:
            return draw()
        with self._lock:
            stream = self._streams.setdefault(key, _Stream(draw(), count))
            self._streams.move_to_end(key)
            while sum(kept.count for kept in self._streams.values()) > self._most:
                self._streams.popitem(last=False)
        return iter(stream)


class _Stream:
    def __init__(self, rest: Iterator[str], count: int) -> None:
        self.count = count
        self._rest, self._drawn = rest, list[str]()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        at = 0
        while at < len(self._drawn) or self._draw_one(at):
            yield self._drawn[at]
            at += 1

    def _draw_one(self, at: int) -> bool:
        """Whether there is a text at a place, drawn now where nobody has done it."""
        with self._lock:
            if at == len(self._drawn):
                text = next(self._rest, None)
                if text is None:
                    return False
                self._drawn.append(text)
            return True
