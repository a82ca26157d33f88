"""Text to ids by one rule for all systems: what opens a text, and where a continuation begins.

Training, evaluation, Hydra LLMs and XTransplant encode by these functions, so that a model meets at
evaluation the segmentation it was trained on, whatever its vocabulary: the name of a
control token inside a text is text, and no token spans the border of prompt and continuation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tokenizers import Tokenizer

from franken.errors import ConfigError

Encode = Callable[[Sequence[str]], list[list[int]]]
"""Texts to ids, without anything in front or behind."""
OPENINGS = ("tokenizer", "always", "none")
"""What may stand in front of a text: what the tokenizer puts there by itself; bos, else eos; or
nothing. Any other value is the text of a token."""
_ANCHOR = "\n"


def text_ids(backend: Tokenizer, texts: Sequence[str], *, control: bool) -> list[list[int]]:
    """Ids of each text, without bos and eos.

    Args:
        backend: the tokenizer's core; left as it is.
        texts: any number.
        control: whether the names of control tokens inside a text stand for these tokens, as in
            the prompts of a chat model; otherwise they are text like any other.
    """
    if not texts:
        return []
    with _bare(backend, control):
        batch = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in batch]


def hidden_bytes(backend: Tokenizer, text: str, unknown: int | None) -> int:
    """UTF-8 bytes of a text that its ids do not tell: under an unknown token, or under none.

    White space that no token covers is not counted: many tokenizers leave it to decoding.
    """
    with _bare(backend, control=False):
        encoding = backend.encode(text, add_special_tokens=False)
        told, covered = [False] * len(text), [False] * len(text)
        for index, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
            covered[first:last] = [True] * (last - first)
            if index != unknown:
                told[first:last] = [True] * (last - first)
        dropped: set[str] = set()
        if not all(seen or own.isspace() for seen, own in zip(covered, text, strict=True)):
            # Offsets after a dropped character are wrong (findings/tokenizers_offsets.sh), so the
            # characters are asked one by one.
            dropped = {
                own for own in set(text) if not backend.encode(own, add_special_tokens=False).ids
            }
    return sum(
        len(own.encode())
        for own, seen, under in zip(text, told, covered, strict=True)
        if not own.isspace() and (own in dropped or (under and not seen))
    )


@contextmanager
def _bare(backend: Tokenizer, control: bool) -> Iterator[None]:
    """No truncation, no padding, control tokens as wanted; what was set comes back afterwards."""
    truncation, padding = backend.truncation, backend.padding
    before = backend.encode_special_tokens
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = not control
    try:
        yield
    finally:
        backend.encode_special_tokens = before
        if truncation is not None:
            backend.enable_truncation(**truncation)
        if padding is not None:
            backend.enable_padding(**padding)


def opening_ids(tokenizer: Any, opening: str = "tokenizer") -> list[int]:
    """Ids that stand in front of a text.

    Args:
        tokenizer: a fast tokenizer of transformers.
        opening: one of ``OPENINGS`` or the text of a token.

    Raises:
        ConfigError: for a token that the tokenizer does not have.
    """
    if opening == "none":
        return []
    if opening == "always":
        roles = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        return [int(index) for index in roles if index is not None][:1]
    if opening == "tokenizer":
        backend = tokenizer.backend_tokenizer
        with _bare(backend, control=True):
            bare = backend.encode("a", add_special_tokens=False).ids
            whole = backend.encode("a", add_special_tokens=True).ids
        places = range(len(whole) - len(bare) + 1)
        at = next((at for at in places if whole[at : at + len(bare)] == bare), 0)
        return [int(index) for index in whole[:at]]
    found = tokenizer.get_vocab().get(opening)
    if found is None:
        raise ConfigError(
            f"opening={opening!r} is no token of the tokenizer; give one of its tokens, or "
            f"{', '.join(OPENINGS)}"
        )
    return [int(found)]


def continuations(encode: Encode, texts: Sequence[str]) -> list[list[int]]:
    """Ids of texts that each follow another: a tokenizer's automatic word start is left out."""
    if not texts:
        return []
    anchor, *joined = encode([_ANCHOR, *(_ANCHOR + text for text in texts)])
    fits = [ids[: len(anchor)] == anchor for ids in joined]
    alone = iter(encode([text for text, fit in zip(texts, fits, strict=True) if not fit]))
    return [
        ids[len(anchor) :] if fit else next(alone) for ids, fit in zip(joined, fits, strict=True)
    ]


def after_prompts(
    encode: Encode, prompts: Sequence[str], texts: Sequence[str]
) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of prompts as they stand alone, and of the text that follows each.

    The tokens of a continuation are those after the prompt's in the joined text. Where joining
    would change the prompt's own tokens, the continuation is tokenised apart.
    """
    heads = encode(prompts)
    whole = encode([prompt + text for prompt, text in zip(prompts, texts, strict=True)])
    fits = [ids[: len(head)] == head for head, ids in zip(heads, whole, strict=True)]
    apart = iter(continuations(encode, [t for t, fit in zip(texts, fits, strict=True) if not fit]))
    tails = [
        ids[len(head) :] if fit else next(apart)
        for head, ids, fit in zip(heads, whole, fits, strict=True)
    ]
    return heads, tails
