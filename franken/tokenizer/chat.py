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
