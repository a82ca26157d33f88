"""Tokens without a row: ids of a tokenizer that lie beyond the model's table.

Gemma 3's text checkpoints name ``<image_soft_token>``, id 262,144, over a table of 262,144 rows;
others add a chat token that the model never got. No text reaches such an id without an error.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer as Backend

from franken.errors import CompatibilityError
from franken.parts.tokenizer_files import special_roles
from franken.parts.tokenizer_json import wrapped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


def set_aside_rowless(tokenizer: PreTrainedTokenizerBase, rows: int) -> PreTrainedTokenizerBase:
    """The tokenizer without the tokens that have no row; itself where there are none.

    Args:
        tokenizer: with a fast backend.
        rows: of the table that it is used with.

    Returns:
        A tokenizer that gives every text that the model could read the same ids. Tokens set aside
        are named in a warning; roles that they had are unset.

    Raises:
        CompatibilityError: where so many lie beyond the table that it belongs to another
            tokenizer, or the tokenizer puts one of them around every text.
    """
    vocabulary = tokenizer.get_vocab()
    beyond = {token: index for token, index in vocabulary.items() if index >= rows}
    if not beyond:
        return tokenizer
    names = sorted(beyond, key=beyond.__getitem__)
    listed = ", ".join(f"{name!r} ({beyond[name]})" for name in names[:3])
    if len(beyond) > len(vocabulary) // 10:
        raise CompatibilityError(
            f"{len(beyond)} of {len(vocabulary)} tokens have ids beyond the table's {rows} rows "
            f"({listed}, ...); table and tokenizer belong to different models"
        )
    whole = tokenizer.backend_tokenizer
    _refuse_framing(whole.post_processor, beyond, rows)
    backend = _around_the_model_of(whole, beyond) or _read_again(whole, beyond)
    logger.warning(
        "%d tokens have no row in the model's table of %d and are set aside: %s%s",
        len(beyond), rows, listed, ", ..." if len(names) > 3 else "",
    )  # fmt: skip
    return wrapped(backend, **settings_of(tokenizer, without=beyond))


def _around_the_model_of(whole: Any, beyond: dict[str, int]) -> Backend | None:
    """Another backend around the same model; ``None`` where the model has one of the tokens.

    To read 260,000 pieces and their merges again takes seconds and hundreds of megabytes.
    """
    backend = Backend(whole.model)
    unknown = getattr(whole.model, "unk_token", None)
    if unknown in beyond or any(backend.token_to_id(token) is not None for token in beyond):
        return None
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        setattr(backend, part, getattr(whole, part))
    for part in ("truncation", "padding"):
        if (asked := getattr(whole, part)) is not None:
            getattr(backend, f"enable_{part}")(**asked)
    added = sorted(whole.get_added_tokens_decoder().items())
    kept = [(index, token) for index, token in added if token.content not in beyond]
    backend.add_tokens([token for _, token in kept])
    right = all(backend.token_to_id(token.content) == index for index, token in kept)
    return backend if right else None


def _read_again(whole: Any, beyond: dict[str, int]) -> Backend:
    """A backend of its own, without the tokens."""
    spec = json.loads(whole.to_str())
    spec["added_tokens"] = [item for item in spec["added_tokens"] if item["content"] not in beyond]
    _shorten(spec["model"], beyond)
    backend: Backend = Backend.from_str(json.dumps(spec, ensure_ascii=False))
    return backend


def settings_of(
    tokenizer: PreTrainedTokenizerBase, *, without: dict[str, int] | None = None
) -> dict[str, Any]:
    """What a tokenizer knows besides ``tokenizer.json``: roles, sides, lengths, template."""
    gone = without or {}
    settings: dict[str, Any] = {
        f"{role}_token": token
        for role, token in special_roles(tokenizer).items()
        if token not in gone
    }
    extra = [token for token in map(str, tokenizer.extra_special_tokens) if token not in gone]
    if extra:
        settings["extra_special_tokens"] = extra
    names = ("model_max_length", "padding_side", "clean_up_tokenization_spaces", "chat_template")
    settings |= {
        name: value for name in names if (value := getattr(tokenizer, name, None)) is not None
    }
    return settings | {"model_input_names": list(tokenizer.model_input_names)}


def _refuse_framing(post_processor: Any, beyond: dict[str, int], rows: int) -> None:
    """Tokens that are put around every text must have rows."""
    text = "" if post_processor is None else post_processor.__getstate__().decode()
    for token, index in beyond.items():
        if json.dumps(token, ensure_ascii=False) in text:
            raise CompatibilityError(
                f"the tokenizer puts {token!r} (id {index}) around every text, but the table has "
                f"{rows} rows; give the token a row, or take it out of the post-processor"
            )


def _shorten(model: dict[str, Any], beyond: dict[str, int]) -> None:
    """Take pieces out of the vocabulary of ``tokenizer.json``'s model, in place."""
    vocabulary = model["vocab"]
    if model.get("unk_token") in beyond:
        model["unk_token"] = None
    if isinstance(vocabulary, list):  # Unigram: ids are positions, so these are the last
        while vocabulary and beyond.get(vocabulary[-1][0]) == len(vocabulary) - 1:
            vocabulary.pop()
        return
    gone = beyond.keys() & vocabulary.keys()
    if not gone:
        return
    model["vocab"] = {piece: index for piece, index in vocabulary.items() if piece not in gone}
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, gone)]


def _touches(merge: str | list[str], gone: set[str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in gone or right in gone or left + right in gone
