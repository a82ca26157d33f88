"""What the commands on vocabularies share: where text and tokenizers come from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.errors import ConfigError, DataError

REPORT_FILE = "vocabulary.json"


def named(pairs: Sequence[str], option: str) -> dict[str, str]:
    """``NAME=PLACE`` pairs.

    Raises:
        ConfigError: for one that is none, or a name that comes twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, mark, place = pair.partition("=")
        if not (name and mark and place):
            raise ConfigError(f"{option} {pair!r}: write NAME=PLACE")
        if name in found:
            raise ConfigError(f"{option}: {name!r} is named twice; write OTHER={place}")
        found[name] = place
    return found


def pocket(part: str = "valid") -> dict[str, str]:
    """Language -> file of text inside the package."""
    from franken.data.origin import PACKAGE

    folder = PACKAGE / "data" / "pocket" / "mono"
    return {lang: str(next(folder.glob(f"{lang}.{part}.jsonl*"))) for lang in ("en", "sw", "tt")}


def check_files(paths: Sequence[Path]) -> None:
    """Refuse files that are not there, before anything that takes time."""
    lacking = [str(path) for path in paths if not path.is_file()]
    if lacking:
        raise DataError(f"no such file: {', '.join(lacking)}")


def read_text(path: Path, limit: int | None = None) -> list[str]:
    """Lines of a file of text; JSON lines give their field ``text``, cut into lines.

    Raises:
        FrankenError: for a file that is not there, or holds no text.
    """
    from franken.data.plain_text import read_texts

    found: list[str] = []
    for text in read_texts(str(path)):
        found += [own for own in text.splitlines() if own.strip()]
        if limit is not None and len(found) >= limit:
            break
    if not found:
        raise DataError(f"{path} holds no text")
    return found[:limit]


def tokenizer_at(place: str) -> Any:
    """A fast tokenizer of a directory or hub id; a ``tokenizer.json`` is read as it stands.

    Raises:
        DataError: where there is none.
    """
    from transformers import AutoTokenizer

    from franken.parts.tokenizer_files import load_checkpoint_tokenizer

    if (Path(place) / "tokenizer.json").is_file():
        return load_checkpoint_tokenizer(Path(place))
    try:
        found = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(f"no tokenizer could be read from {place!r}: {error}") from error
    if not found.is_fast:
        raise DataError(f"the tokenizer of {place!r} has no fast form (tokenizer.json)")
    return found


def save(tokenizer: Any, report: dict[str, Any], directory: Path) -> None:
    """Write a tokenizer, and what is to be said of it, into a new directory."""
    from franken.files import new_directory, write_json
    from franken.parts.tokenizer_files import save_tokenizer

    with new_directory(directory) as scratch:
        save_tokenizer(tokenizer, scratch)
        write_json(scratch / REPORT_FILE, report)
