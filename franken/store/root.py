"""The file that says that a directory is a store, so that nothing else is ever touched."""

import os
from datetime import UTC, datetime
from pathlib import Path

import franken
from franken.errors import ArtifactError
from franken.files import read_json, write_json

MARKER = "franken-store.json"
STORE_FORMAT = 1


def claim_root(root: Path) -> None:
    """Make ``root`` a store unless it is one.

    Raises:
        ArtifactError: where it holds something else, or a store of another format.
        OSError: where it cannot be written.
    """
    if is_store(root):
        return
    root.mkdir(parents=True, exist_ok=True)
    foreign = [name for name in os.listdir(root) if not name.startswith(f".{MARKER}")]
    if foreign and not is_store(root):  # else another process has just made it
        raise ArtifactError(
            f"{root} holds {', '.join(sorted(foreign)[:5])} and no {MARKER}: it is not a store. "
            "Set store.path to a new or empty directory."
        )
    write_json(
        root / MARKER,
        {
            "format": STORE_FORMAT,
            "made_by": f"franken {franken.__version__}",
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def is_store(root: Path) -> bool:
    """Whether ``root`` holds the marker.

    Raises:
        ArtifactError: where the marker is damaged or of another format.
    """
    place = root / MARKER
    try:
        marker = read_json(place)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError:
        marker = None
    found = marker.get("format") if isinstance(marker, dict) else None
    if found != STORE_FORMAT:
        raise ArtifactError(
            f"{place}: expected a store of format {STORE_FORMAT}, found "
            f"{f'format {found}' if found is not None else 'no readable format'}. Use the version "
            "of franken that made it, another store.path, or, if the file was damaged, write "
            f'{{"format": {STORE_FORMAT}}} into it.'
        )
    return True


def require_store(root: Path) -> None:
    """Refuse a directory that is no store.

    Raises:
        ArtifactError: where ``root`` is missing or has no marker.
    """
    if not root.is_dir():
        raise ArtifactError(f"{root} is not a directory. Give the store's with --root DIR.")
    if not is_store(root):
        raise ArtifactError(
            f"{root} is not a store: it has no {MARKER}. Give the store's with --root DIR."
        )
