"""The text of a language as lines."""

from collections.abc import Callable, Iterable, Iterator

from franken.data import DataSource


def lines_of(source: DataSource, language: str) -> Callable[[], Iterable[str]]:
    """A stream of lines of the monolingual text and documents that can be opened again."""

    def lines() -> Iterator[str]:
        for role in ("monolingual", "documents"):
            if source.has(role, language):
                for text in source.texts(role, language):
                    yield from (line for line in text.splitlines() if line.strip())

    return lines
