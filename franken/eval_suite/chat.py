"""Which tasks are asked in a model's chat template."""

from collections.abc import Iterator
from dataclasses import replace

from franken.config.eval_suite import Chat, TaskConfig
from franken.eval_suite.encoding import Encoder, MixedEncoder
from franken.tokenizer.chat import has_chat

CHAT_MARK = "@chat"
"""Ends the name of a task that is asked in chat form beside the plain one."""


def forms(name: str, config: TaskConfig, encoder: Encoder) -> Iterator[tuple[str, bool | None]]:
    """The names a task is scored under, each with whether prompts are put in the chat template.

    ``None`` stands for a task without prompts; a form that the model does not have is yielded not
    at all, see ``lacks_chat``. Where one vocabulary is read and another written, no template fits.
    """
    if config.reads_text:
        yield name, None
        return
    able = has_chat(encoder.tokenizer) and not isinstance(encoder, MixedEncoder)
    if config.chat is Chat.off or (config.chat is Chat.auto and not able):
        yield name, False
    elif config.chat is Chat.both:
        yield name, False
        if able:
            yield name + CHAT_MARK, True
    elif able:
        yield name, True


def lacks_chat(config: TaskConfig, encoder: Encoder) -> bool:
    """Whether chat form is asked for by name, and the model has none."""
    wanted = config.chat in (Chat.on, Chat.both) and not config.reads_text
    return wanted and not (has_chat(encoder.tokenizer) and not isinstance(encoder, MixedEncoder))


def plain_stop(config: TaskConfig) -> TaskConfig:
    """The task as a chat asks it: the end of a turn ends an answer, a line break does not."""
    return replace(config, stop="") if config.stop == "\n" else config
