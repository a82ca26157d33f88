"""What was made from what."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from franken.store.artifact import Artifact
from franken.store.key import KEY_PATTERN
from franken.store.store import Store


class Graph:
    """All artefacts of a store by key, with the artefacts that each of them needs."""

    def __init__(self, store: Store) -> None:
        self.root = store.root.resolve()
        self.artifacts: dict[str, Artifact] = {entry.key: entry for entry in store.entries()}

    def needs(self, key: str) -> list[str]:
        """Keys of the inputs of an artefact, and of artefacts that its symlinks lead into."""
        artifact = self.artifacts.get(key)
        if artifact is None:
            return []
        found = dict.fromkeys(artifact.inputs.values())
        found |= dict.fromkeys(self._linked(artifact))
        return list(found)

    def _linked(self, artifact: Artifact) -> Iterator[str]:
        for entry in artifact.manifest["files"].values():
            target = Path(entry.get("target") or "/")
            if target.is_relative_to(self.root):
                parts = target.relative_to(self.root).parts
                if len(parts) > 2 and KEY_PATTERN.fullmatch(parts[1]):
                    yield parts[1]

    def reachable(self, roots: Iterable[str]) -> set[str]:
        """``roots`` and everything they need, however indirectly."""
        seen: set[str] = set()
        todo = list(roots)
        while todo:
            key = todo.pop()
            if key not in seen:
                seen.add(key)
                todo.extend(self.needs(key))
        return seen
