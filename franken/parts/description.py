"""The JSON file that says what the directory of an artefact holds: kind, schema, and the rest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError
from franken.files import read_json


def read_described(
    path: Path, what: str, schemas: Mapping[str, int], *, again: str = "make it again"
) -> dict[str, Any]:
    """Read the description of an artefact.

    Args:
        path: the file, in the artefact's directory.
        what: what the directory should hold, as a message says it.
        schemas: kinds that may be there -> the schema of each that this version reads.
        again: what to do about a damaged one.

    Raises:
        ArtifactError: where there is none, or it is damaged, of another kind or of another schema.
    """
    if not path.is_file():
        found = ", ".join(sorted(item.name for item in path.parent.glob("*"))[:5]) or "nothing"
        raise ArtifactError(f"{path.parent} is no {what}: it has no {path.name} (found: {found})")
    try:
        description = read_json(path)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}; {again}") from error
    kind = str(description.get("kind")) if isinstance(description, dict) else ""
    if kind not in schemas:
        known = ", ".join(schemas)
        raise ArtifactError(f"{path} describes a {kind!r}, not a {what} (kind {known}); {again}")
    if description.get("schema") != schemas[kind]:
        raise ArtifactError(
            f"{path} has schema {description.get('schema')!r}; this version reads {schemas[kind]}. "
            f"Use the release that wrote it, or {again}"
        )
    content: dict[str, Any] = description
    return content
