"""Preferences out of records: plain texts, or chat messages in the layouts of the hub.

A record has a prompt, a chosen and a rejected answer. Each may be a text; or a message or a list of
messages (``role``/``content``, or ``from``/``value``). Answers as lists end in the assistant's turn
and may repeat the conversation before it, which must then be the same in both.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from franken.data.fields import MISSING, find_any, pick, pick_text
from franken.data.readers import Row
from franken.data.source import Preference
from franken.errors import DataError

ROLES = {
    "user": "user", "human": "user", "prompter": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "bot": "assistant", "system": "system",
}  # fmt: skip


class Turn(NamedTuple):
    """A message."""

    role: str
    text: str


class Wording(NamedTuple):
    """How conversations become texts."""

    prompt_template: str
    """What the model sees of a user's turn."""
    turn_end: str
    """Follows an earlier answer of the conversation."""


def read_preference(row: Row, fields: Mapping[str, str], wording: Wording) -> Preference | None:
    """The preference of a record; ``None`` where the prompt or an answer is blank.

    Raises:
        DataError: naming the place, what was expected and what was found.
    """
    sides = {name: _turns(row, name, pick(row, name, fields)) for name in ("chosen", "rejected")}
    given = find_any(row.record, fields.get("prompt", "prompt"))
    opening: list[Turn] = []
    if given is not MISSING and given is not None:
        opening = _turns(row, "prompt", given, alone="user")
    before: dict[str, list[Turn]] = {}
    answers: dict[str, str] = {}
    for name, turns in sides.items():
        if not turns or turns[-1].role != "assistant":
            raise DataError(
                f"{row.where}: {name!r} must end in the assistant's message; it ends in "
                f"{turns[-1].role if turns else 'nothing'}"
            )
        answers[name] = turns[-1].text
        before[name] = list(turns[:-1]) or opening
    if before["chosen"] != before["rejected"]:
        raise DataError(
            f"{row.where}: chosen and rejected answer two different conversations; they must be "
            "the same up to the last message"
        )
    if not before["chosen"]:
        raise DataError(
            f"{row.where}: has no prompt, and the answers hold the assistant's message alone; say "
            "where it stands with `fields: {prompt: ...}`"
        )
    prompt = _worded(row, before["chosen"], wording)
    task = ""
    if find_any(row.record, fields.get("task", "task")) is not MISSING:
        task = pick_text(row, "task", fields)
    if not (prompt and answers["chosen"] and answers["rejected"]):
        return None
    return Preference(prompt, answers["chosen"], answers["rejected"], task)


def score_gap(row: Row, fields: Mapping[str, str]) -> float:
    """Score of the chosen answer less that of the rejected one.

    Raises:
        DataError: where one of them is missing or no number.
    """
    scores: list[float] = []
    for name in ("chosen_score", "rejected_score"):
        keys = fields.get(name, f"{name}|score_{name.removesuffix('_score')}")
        value = pick(row, name, {**fields, name: keys})
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{row.where}: the field {keys!r} holds {value!r}, not a number")
        scores.append(float(value))
    return scores[0] - scores[1]


def _turns(row: Row, name: str, value: Any, *, alone: str = "assistant") -> list[Turn]:
    """Messages of a field; a text is one message of the role ``alone``."""
    if value is None:
        return [Turn(alone, "")]
    if isinstance(value, str):
        return [Turn(alone, value.strip())]
    messages: Sequence[Any] = [value] if isinstance(value, Mapping) else value
    if not isinstance(messages, Iterable):
        raise DataError(
            f"{row.where}: the field {name!r} holds a {type(value).__name__}, where a text or a "
            "list of messages is expected"
        )
    return [_turn(row, name, message) for message in messages]


def _turn(row: Row, name: str, message: Any) -> Turn:
    if isinstance(message, Mapping):
        role = message.get("role", message.get("from"))
        text = message.get("content", message.get("value"))
        if role in ROLES and isinstance(text, str):
            return Turn(ROLES[role], text.strip())
    raise DataError(
        f"{row.where}: the field {name!r} holds the message {str(message)[:60]!r}; expected "
        f"{{role: ..., content: text}} with a role of {', '.join(ROLES)}"
    )


def _worded(row: Row, turns: Sequence[Turn], wording: Wording) -> str:
    """A conversation as the text before the answer; a system message opens the first prompt."""
    system = [turn.text for turn in turns if turn.role == "system" and turn.text]
    spoken = [turn for turn in turns if turn.role != "system"]
    if not spoken or spoken[-1].role != "user":
        last = spoken[-1].role if spoken else "nothing"
        raise DataError(
            f"{row.where}: the conversation before the answers must end in a question (role user); "
            f"it ends in {last}"
        )
    if not spoken[-1].text:
        return ""
    parts: list[str] = []
    for turn in spoken:
        if turn.role == "user":
            text = "\n".join([*system, turn.text])
            parts.append(wording.prompt_template.replace("{prompt}", text))
            system = []
        else:
            parts.append(turn.text + wording.turn_end)
    return "".join(parts)
