"""A data source that stands for another one in all but some roles."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from franken.data.source import DataSource
from franken.files import hash_json


class DerivedSource(ABC):
    """Passes on to the source behind whatever a subclass does not answer itself."""

    def __init__(self, source: DataSource) -> None:
        """Args: the ``source`` behind."""
        self._source = source
        self.config = source.config

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @abstractmethod
    def difference(self) -> Any:
        """What the fingerprint adds to that of the source behind (JSON)."""

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Of the source behind and of the difference."""
        return hash_json([self._source.fingerprint(roles, languages), self.difference()])
