"""Prompts: templates over an item's fields, option lists, worked examples."""

import random
import string
from collections.abc import Mapping, Sequence

from franken.config.checks import hint
from franken.config.eval_suite import TaskConfig
from franken.errors import ConfigError
from franken.seeds import derive_seed

DEFAULT_OPTION = " {option}"
LETTER_OPTION = " ({letter})"


def fill(template: str, fields: Mapping[str, str], *, task: str, key: str = "prompt") -> str:
    """Put ``fields`` into ``template``.

    Raises:
        ConfigError: for a field that the items do not have, or a template that is none.
    """
    try:
        return template.format_map(fields)
    except KeyError as error:
        name = str(error.args[0])
        raise ConfigError(
            f"eval_suite.tasks.{task}.{key}: the template {template!r} asks for {{{name}}}, which "
            f"the items do not have.{hint(name, fields, what='Fields')}"
        ) from None
    except (ValueError, IndexError, AttributeError) as error:
        raise ConfigError(
            f"eval_suite.tasks.{task}.{key}: {template!r} is no template ({error}); write "
            "{field} for a field and {{ or }} for a brace."
        ) from None


def letter(index: int) -> str:
    """``0 -> A``; beyond Z the number itself."""
    return string.ascii_uppercase[index] if index < 26 else str(index + 1)


def list_options(options: Sequence[str]) -> str:
    """``(A) first (B) second``."""
    return " ".join(f"({letter(index)}) {option}" for index, option in enumerate(options))


def continuations(config: TaskConfig, options: Sequence[str], *, task: str) -> list[str]:
    """The text scored for each option."""
    template = config.option
    if config.letters and template == DEFAULT_OPTION:
        template = LETTER_OPTION
    return [
        fill(template, {"option": option, "letter": letter(index)}, task=task, key="option")
        for index, option in enumerate(options)
    ]


def draw_shots(count: int, available: int, seed: int, task: str, lang: str) -> list[int]:
    """Indices of the worked examples, the same for every item and system.

    Raises:
        ConfigError: when the example part is smaller than ``count``.
    """
    _check_count(count, available, task, lang)
    return random.Random(derive_seed(seed, "shots", task, lang)).sample(range(available), count)


def nearest_shots(
    count: int, asked: Sequence[str], known: Sequence[str], task: str, lang: str
) -> list[list[int]]:
    """Indices of the worked examples of each item: those whose prompts are most like its own.

    The retrieval of neural fuzzy repair (Trans-Tokenization 6.4 takes the gold match instead).
    Likeness is the Dice coefficient of the sets of character trigrams; the first of equals wins,
    and the most alike stands last, beside the item.

    Raises:
        ConfigError: when the example part is smaller than ``count``.
    """
    _check_count(count, len(known), task, lang)
    grams = [_trigrams(text) for text in known]

    def nearest(text: str) -> list[int]:
        own = _trigrams(text)
        likeness = [2 * len(own & other) / (len(own) + len(other) or 1) for other in grams]
        ranked = sorted(range(len(known)), key=lambda index: (-likeness[index], index))
        return ranked[:count][::-1]

    return [nearest(text) for text in asked]


def _trigrams(text: str) -> frozenset[str]:
    return frozenset(text[place : place + 3] for place in range(len(text) - 2))


def _check_count(count: int, available: int, task: str, lang: str) -> None:
    if count > available:
        raise ConfigError(
            f"eval_suite.tasks.{task}.shots: {count} examples asked for, but the train or dev part "
            f"has {available} in {lang!r}; ask for at most {available}."
        )
