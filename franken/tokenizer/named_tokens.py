"""Tokens that a user names: words, terms of a domain, control tokens, from a file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from franken.config.checks import hint
from franken.data.readers import read_lines
from franken.errors import DataError
from franken.tokenizer.compose import special_token

if TYPE_CHECKING:
    from franken.tokenizer.pipeline import Pipeline


@dataclass(frozen=True)
class NamedToken:
    """One line of the file."""

    token: str
    """As it stands in text."""
    special: bool = False
    """A control token: skipped when text is decoded without special tokens."""
    like: str | None = None
    """A token of the base whose row it starts from."""
    text: str | None = None
    """What it means, in words that the base knows: a definition, a translation."""


def read_named_tokens(path: str | Path) -> list[NamedToken]:
    """Tokens of a file, in its order: a token per line, or JSON lines (``.jsonl``).

    A line of JSON is ``{"token": "<tool>", "special": true, "like": "<|im_start|>"}`` or
    ``{"token": "angioplasty", "text": "widening of a blocked vessel"}``.

    Raises:
        DataError: names file and line of what is no such line, empty, or comes twice.
    """
    place = Path(path).expanduser()
    found: dict[str, NamedToken] = {}
    for number, line in read_lines(place):
        if not line.strip():
            continue
        token = _parsed(line, f"{place}:{number}") if ".jsonl" in place.name else NamedToken(line)
        if not token.token.strip() or token.token in found:
            raise DataError(
                f"{place}:{number}: {token.token!r} "
                f"{'comes twice' if token.token in found else 'is blank'}; name each token once"
            )
        found[token.token] = token
    if not found:
        raise DataError(f"{place} names no token")
    return list(found.values())


def _parsed(line: str, where: str) -> NamedToken:
    known = NamedToken.__dataclass_fields__
    try:
        fields = json.loads(line)
        unknown = sorted(fields.keys() - known.keys())
    except (ValueError, AttributeError) as error:
        raise DataError(f'{where} is no object such as {{"token": "<tool>"}}: {error}') from error
    if unknown or not isinstance(fields.get("token"), str):
        what = f"unknown {unknown[0]!r}.{hint(unknown[0], known)}" if unknown else "no text `token`"
        raise DataError(f"{where}: {what}")
    wrong = [n for n in ("like", "text") if not isinstance(fields.get(n), str | None)]
    if wrong or not isinstance(fields.get("special", False), bool):
        raise DataError(f"{where}: {(wrong or ['special'])[0]!r} has a value of the wrong kind")
    return NamedToken(**fields)


def with_named_tokens(pipeline: "Pipeline", tokens: Sequence[NamedToken]) -> tuple["Pipeline", int]:
    """The pipeline with added tokens behind its last id.

    They are matched in the text as it stands, before normaliser and pre-tokeniser, so no merge can
    shadow one, and each is reachable.

    Returns:
        The pipeline, and how many of the tokens it had already; these stay what they are.
    """
    fresh = [token for token in tokens if token.token not in pipeline.pieces]
    first = pipeline.size
    pieces = {token.token: first + place for place, token in enumerate(fresh)}
    added = [{**special_token(token.token), "special": token.special} for token in fresh]
    grown = replace(pipeline, pieces={**pipeline.pieces, **pieces}, added=[*pipeline.added, *added])
    return grown, len(tokens) - len(fresh)
