"""Chat templates: a dialogue as the text that a chat model was tuned on."""

from collections.abc import Sequence
from typing import Any

from franken.errors import CompatibilityError

TODAY = "26 Jul 2024"
"""The date that templates put in (Llama 3.1 and later): one that never changes, or every score
would change with the day. It is the date that Llama's own template falls back to."""


def has_chat(tokenizer: Any) -> bool:
    """Whether the tokenizer has a chat template."""
    return bool(getattr(tokenizer, "chat_template", None))


def uses_chat(tokenizer: Any, wanted: str) -> bool:
    """Whether ``auto``, ``on`` or ``off`` means chat form for a tokenizer.

    Raises:
        CompatibilityError: for ``on`` where it has no template.
    """
    if wanted == "on" and not has_chat(tokenizer):
        raise CompatibilityError(
            "chat=on, but the tokenizer has no chat template (chat_template.jinja or "
            "tokenizer_config.json); add one, or set chat=auto or chat=off"
        )
    return wanted != "off" and has_chat(tokenizer)


def chat_prompt(tokenizer: Any, turns: Sequence[tuple[str, str]], asked: str) -> str:
    """A dialogue up to where the model answers.

    Args:
        tokenizer: with a chat template.
        turns: earlier questions with their answers (worked examples).
        asked: the question to be answered.

    Returns:
        Text with the names of control tokens, bos among them where the template writes it; it is to
        be encoded with nothing put in front again. Templates that can think first are told not to.

    Raises:
        CompatibilityError: where the template refuses the dialogue.
    """
    messages = []
    for question, answer in turns:
        messages.append({"role": "user", "content": question.strip()})
        messages.append({"role": "assistant", "content": answer.strip()})
    messages.append({"role": "user", "content": asked.strip()})
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False,
            date_string=TODAY,
        )  # fmt: skip
    except Exception as error:  # a template raises what it likes
        raise CompatibilityError(
            f"the tokenizer's chat template refuses a dialogue of {len(messages)} messages "
            f"({error}); set chat=off"
        ) from error
    return str(text)


def turn_end(tokenizer: Any) -> int | None:
    """The control token by which the chat template closes an answer; ``None`` without one.

    Found by rendering an answer and looking at what follows it.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    mark = "answer0"
    turns = [{"role": "user", "content": "0"}, {"role": "assistant", "content": mark}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception:  # a template raises what it likes; one that refuses a plain exchange has none
        return None
    _, found, tail = str(text).rpartition(mark)
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if found else []
    control = tokenizer.added_tokens_decoder
    return next((int(i) for i in ids if i in control and control[i].special), None)
