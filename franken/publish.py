"""``python -m franken.publish DIR REPO_ID``: put an exported model on the hub.

The checkpoint is checked, and that it has a card and a licence. Sent are files of a model alone:
weights in safetensors, JSON, tokenizer files, texts. The directory is not changed; a licence given
here goes into the card that is sent.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError, ConfigError, FrankenError

SUFFIXES = (".safetensors", ".json", ".jsonl", ".model", ".txt", ".jinja", ".md")
NAMES = ("LICENSE", "NOTICE", ".gitattributes")
CARD = "README.md"


@dataclass(frozen=True)
class Upload:
    """What would be sent."""

    repo_id: str
    files: dict[str, Path]
    """Name in the repository -> file; the card is apart."""
    card: str
    """Text of the card."""
    licence: str

    @property
    def bytes_count(self) -> int:
        """Of all files."""
        sizes = sum(path.stat().st_size for path in self.files.values())
        return sizes + len(self.card.encode())


def prepare(directory: Path, repo_id: str, *, licence: str | None = None) -> Upload:
    """Check a directory and collect what is sent.

    Args:
        directory: as ``recipe.export`` wrote it: a checkpoint with a card.
        repo_id: ``owner/name``.
        licence: identifier as the hub knows it; default: what the card says.

    Raises:
        ArtifactError: where the checkpoint is incomplete, or has no card.
        ConfigError: where the name is none, no licence is known, or two that differ.
    """
    from huggingface_hub import ModelCard
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    from franken.parts.checkpoint import Checkpoint

    directory = Path(directory)
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ConfigError(f"{repo_id!r} is no name on the hub: {error}") from error
    if repo_id.count("/") != 1:
        raise ConfigError(f"{repo_id!r} is no name on the hub; expected owner/name")
    Checkpoint(directory).config()
    if not (directory / CARD).is_file():
        raise ArtifactError(f"{directory} has no {CARD}; export the model with a recipe")
    card: Any = ModelCard.load(directory / CARD, ignore_metadata_errors=True)
    known = card.data.license
    if known and licence and known != licence:
        raise ConfigError(f"the card says licence {known!r}, the command {licence!r}; change one")
    if not (licence or known):
        raise ConfigError(
            "no licence is known: give --licence, e.g. that of the base model (its card says), "
            "such as apache-2.0, gemma or llama3"
        )
    card.data.license = licence or known
    files = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file() and is_sent(path) and path != directory / CARD
    }
    return Upload(repo_id, files, str(card), str(licence or known))


def is_sent(path: Path) -> bool:
    """Whether a file is one of a model."""
    return path.suffix in SUFFIXES or path.name in NAMES


def left_out(directory: Path) -> list[str]:
    """Files that are not sent."""
    return sorted(
        path.relative_to(directory).as_posix()
        for path in Path(directory).rglob("*")
        if path.is_file() and not is_sent(path)
    )


def send(upload: Upload, *, private: bool = True, api: Any = None) -> str:
    """Create the repository if need be, and send all in one commit.

    Args:
        upload: what :func:`prepare` collected.
        private: whether a new repository is.
        api: a ``huggingface_hub.HfApi``; default: one of the hub, with the login of this machine.

    Returns:
        The address of the commit.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api = api or HfApi()
    api.create_repo(upload.repo_id, private=private, exist_ok=True)
    operations = [CommitOperationAdd(CARD, upload.card.encode())]
    operations += [CommitOperationAdd(name, path) for name, path in upload.files.items()]
    done = api.create_commit(
        upload.repo_id, operations, commit_message=f"{len(operations)} files, made by franken"
    )
    return str(done.commit_url)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.publish", description=__doc__)
    made.add_argument("directory", type=Path, help="an exported model")
    made.add_argument("repo_id", help="owner/name on the hub")
    made.add_argument("--licence", "--license", help="as the hub spells it (default: the card's)")
    made.add_argument("--public", action="store_true", help="a new repository is private without")
    made.add_argument("--dry-run", action="store_true", help="check and list, send nothing")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; 2 for a wrong request or a hub that refuses."""
    chosen = parser().parse_args(arguments)
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        upload = prepare(chosen.directory, chosen.repo_id, licence=chosen.licence)
        _list(upload, left_out(chosen.directory))
        if chosen.dry_run:
            print("dry run: nothing was sent")
            return 0
        print(send(upload, private=not chosen.public))
    except (FrankenError, OSError, HfHubHTTPError, LocalTokenNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _list(upload: Upload, not_sent: list[str]) -> None:
    count = len(upload.files) + 1
    print(f"{upload.repo_id}: {count} files, {upload.bytes_count / 1e6:.1f} MB, {upload.licence}")
    for name, path in {**upload.files, CARD: None}.items():
        size = len(upload.card.encode()) if path is None else path.stat().st_size
        print(f"  {size:>14,}  {name}")
    for name in not_sent:
        print(f"  {'not sent':>14}  {name}")


if __name__ == "__main__":
    sys.exit(main())
