"""A finished artefact: a directory and the manifest that vouches for it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError


@dataclass(frozen=True)
class Artifact:
    """A published result of a step; nothing in its directory may be changed."""

    kind: str
    key: str
    path: Path
    manifest: dict[str, Any] = field(compare=False, repr=False)
    fresh: bool = field(default=False, compare=False)
    """Whether this process has just built it (False: it was found)."""

    @property
    def short(self) -> str:
        """The first 12 digits of the key."""
        return self.key[:12]

    @property
    def label(self) -> str:
        """What the run that made it called it."""
        return str(self.manifest.get("label") or self.kind)

    @property
    def spec(self) -> dict[str, Any]:
        """Everything that entered the key."""
        return dict(self.manifest["spec"])

    @property
    def inputs(self) -> dict[str, str]:
        """Name of each input -> its key."""
        return dict(self.manifest["spec"].get("inputs") or {})

    @property
    def meta(self) -> dict[str, Any]:
        """What ``build`` returned."""
        return dict(self.manifest.get("meta") or {})

    @property
    def size(self) -> int:
        """Bytes of all files, linked ones included."""
        return sum(entry["size"] for entry in self.manifest["files"].values())

    @property
    def own_size(self) -> int:
        """Bytes of the files that are not links to elsewhere: what deleting it can free."""
        files = self.manifest["files"].values()
        return sum(entry["size"] for entry in files if "link" not in entry)

    @property
    def seconds(self) -> float:
        """Wall time of the build."""
        return float(self.manifest["seconds"])

    @property
    def created(self) -> str:
        """UTC time of publication, ISO 8601."""
        return str(self.manifest["created"])

    def file(self, name: str) -> Path:
        """Path of one of its files.

        Raises:
            ArtifactError: where the manifest lists no such file.
        """
        if name not in self.manifest["files"]:
            known = ", ".join(sorted(self.manifest["files"])[:20]) or "none"
            raise ArtifactError(
                f"artefact {self.kind}/{self.short} ({self.label}) has no file {name!r}; it holds: "
                f"{known}. Is it the result of another step?"
            )
        return self.path / name
