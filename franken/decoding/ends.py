"""What ends a continuation: a set of token ids, strings in its text, a number of bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from franken.tokenizer.chat import turn_end

_SLACK = 4
"""Tokens beside those of a stop string that are looked at for it: some hold no text at all."""
_BYTES_EVERY = 8
"""Tokens between two looks at the length of a text; what is kept does not depend on it."""


@dataclass(frozen=True)
class Ends:
    """What ends a continuation.

    Attributes:
        ids: ids of which any ends it; not part of it.
        over: whether a continuation of these ids needs no more (asked after each token); the ids
            stay, and what reads their text cuts it.
    """

    ids: frozenset[int] = frozenset()
    over: Callable[[Sequence[int]], bool] | None = None


def stop_ids(tokenizer: Any, model: Any = None) -> frozenset[int]:
    """All ids that end a text of a model: eos, what its generation config lists, a turn's end.

    Args:
        tokenizer: of what is written.
        model: whose ``generation_config`` counts, where it has one; ids beyond the tokenizer's own
            are those of another table and left out.
    """
    config = getattr(model, "generation_config", None)
    listed = getattr(config, "eos_token_id", None)
    several = listed if isinstance(listed, list | tuple) else [listed]
    own = [int(index) for index in several if index is not None and index < len(tokenizer)]
    found = [tokenizer.eos_token_id, turn_end(tokenizer), *own]
    return frozenset(index for index in found if index is not None)


def text_is_over(
    tokenizer: Any, stops: Sequence[str], max_bytes: int | None = None
) -> Callable[[Sequence[int]], bool] | None:
    """Whether the text of some ids holds a stop string, or more bytes than wanted.

    Returns:
        A function for ``Ends.over``; ``None`` where nothing is asked for.
    """
    wanted = [stop for stop in stops if stop]
    if not wanted and max_bytes is None:
        return None
    width = max((len(stop.encode()) for stop in wanted), default=0) + _SLACK

    def holds_stop(ids: Sequence[int]) -> bool:
        return any(stop in plain_text(tokenizer, ids) for stop in wanted)

    def over(ids: Sequence[int]) -> bool:
        if wanted and holds_stop(ids[-width:]) and (len(ids) <= width or holds_stop(ids)):
            return True
        due = max_bytes is not None and len(ids) % _BYTES_EVERY == 0
        return due and len(plain_text(tokenizer, ids).encode()) > (max_bytes or 0)

    return over


def plain_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """Text of generated ids, without control tokens; no spaces are tidied."""
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )


def before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text before the first stop string, and whether there is one."""
    places = [text.index(stop) for stop in stops if stop and stop in text]
    return (text[: min(places)], True) if places else (text, False)
