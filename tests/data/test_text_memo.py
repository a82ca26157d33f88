"""Texts are drawn once, and every reader sees all of them."""

from collections.abc import Iterator
from itertools import islice

from franken.data.microworld.memo import TextMemo


class Drawn:
    """Draws numbers as texts and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def texts(self, last: int) -> Iterator[str]:
        for number in range(last):
            self.count += 1
            yield str(number)


def test_readers_at_different_places_share_what_was_drawn() -> None:
    memo, drawn = TextMemo(), Drawn()
    slow = memo.read("a", 6, lambda: drawn.texts(6))
    assert [next(slow), next(slow)] == ["0", "1"]
    quick = memo.read("a", 6, lambda: drawn.texts(6))
    assert list(quick) == ["0", "1", "2", "3", "4", "5"]
    assert list(slow) == ["2", "3", "4", "5"]
    assert list(memo.read("a", 6, lambda: drawn.texts(6)))[-1] == "5"
    assert drawn.count == 6


def test_no_more_is_drawn_than_was_read() -> None:
    memo, drawn = TextMemo(), Drawn()
    assert list(islice(memo.read("a", 6, lambda: drawn.texts(6)), 2)) == ["0", "1"]
    assert drawn.count == 2


def test_what_was_read_last_is_kept() -> None:
    memo, drawn = TextMemo(most=10), Drawn()
    for key in "abac":  # c takes the room of b, which was not read again
        list(memo.read(key, 4, lambda: drawn.texts(4)))
    assert drawn.count == 12
    list(memo.read("a", 4, lambda: drawn.texts(4)))
    assert drawn.count == 12
    list(memo.read("b", 4, lambda: drawn.texts(4)))
    assert drawn.count == 16


def test_long_streams_are_not_kept() -> None:
    memo, drawn = TextMemo(most=3), Drawn()
    for _ in range(2):
        assert list(memo.read("a", 4, lambda: drawn.texts(4))) == ["0", "1", "2", "3"]
    assert drawn.count == 8
