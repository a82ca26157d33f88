"""What a new vocabulary changes in a model's config besides token ids."""

from typing import Any

from transformers import GenerationConfig, PretrainedConfig

from franken.parts.anatomy import text_config

PADDING_ROWS = "franken_padding_rows"
"""Config field that declares how many rows, at the end, belong to no token."""


def unique_configs(config: PretrainedConfig, generation: GenerationConfig | None) -> list[Any]:
    """Model config, its text config where that is another object, generation config if any."""
    found: list[Any] = [config]
    if text_config(config) is not config:
        found.append(text_config(config))
    return found if generation is None else [*found, generation]


def set_vocabulary(config: PretrainedConfig, *, rows: int, unused: int, tied: bool) -> None:
    """Set ``vocab_size`` where the config has it, the tying, and declare rows without a token.

    Other fields that repeat it (Marian's ``decoder_vocab_size``) follow.
    """
    text = text_config(config)
    before = text.vocab_size
    for part in unique_configs(config, None):
        part.tie_word_embeddings = tied
        if part is text or "vocab_size" in vars(part):
            part.vocab_size = rows
        for name, value in list(vars(part).items()):
            if name.endswith("_vocab_size") and name != "type_vocab_size" and value == before:
                setattr(part, name, rows)
    if unused or hasattr(text, PADDING_ROWS):
        setattr(text, PADDING_ROWS, unused)
