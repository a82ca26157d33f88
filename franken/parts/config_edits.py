"""What a new vocabulary changes in a model's config besides token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from franken.errors import CompatibilityError
from franken.families.anatomy import Anatomy, text_config

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

    from franken.parts.plain_config import PlainConfig, PlainModelConfig
    from franken.parts.stored_tokenizer import StoredTokenizer

PADDING_ROWS = "franken_padding_rows"
"""Config field that declares how many rows, at the end, belong to no token."""


def unique_configs(
    config: PretrainedConfig | PlainModelConfig, generation: GenerationConfig | PlainConfig | None
) -> list[Any]:
    """Model config, its text config where that is another object, generation config if any."""
    found: list[Any] = [config]
    if text_config(config) is not config:
        found.append(text_config(config))
    return found if generation is None else [*found, generation]


def set_vocabulary(
    config: PretrainedConfig | PlainModelConfig, *, rows: int, unused: int, tied: bool
) -> None:
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


def refuse_moved_padding(
    anatomy: Anatomy,
    config: PretrainedConfig | PlainModelConfig,
    tokenizer: PreTrainedTokenizerBase | StoredTokenizer,
) -> None:
    """Refuse another padding id where the body counts its positions from it."""
    before, after = getattr(text_config(config), "pad_token_id", None), tokenizer.pad_token_id
    if anatomy.positions_from_padding and before is not None and before != after:
        raise CompatibilityError(
            f"{anatomy.family} models count positions from the id of the padding token, which is "
            f"{before} in this body and {after} in the new vocabulary: every position would be "
            "read off its place. Make the vocabulary from the model's own tokenizer "
            "(vocab=scratch, prune_extend, extension keep the ids of control tokens)"
        )
