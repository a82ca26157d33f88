"""Pieces of a tokenizer as words of a vector space."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from franken.tokenizer.pieces import canonical_bytes, label_of
from franken.tokenizer.pipeline import read_once

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 1024


def piece_labels(tokenizer: "PreTrainedTokenizerBase") -> list[str | None]:
    """What each token is called in a space of pieces, by id: ``▁house``, ``<0xE3>``.

    ``None`` for special tokens, the unknown token and unused ids. The same for tokenizers of any
    kind, so that pieces of equal bytes have equal labels.
    """
    return read_once(tokenizer, "labels", _labels)


def _labels(tokenizer: "PreTrainedTokenizerBase") -> list[str | None]:
    names = {index: name for name, index in tokenizer.get_vocab().items()}
    return [
        None if data is None else label_of(data, names.get(index, ""))
        for index, data in enumerate(canonical_bytes(tokenizer))
    ]


def cut_to_pieces(
    lines: Iterable[str], tokenizer: "PreTrainedTokenizerBase"
) -> Iterator[list[str]]:
    """Each line as the labels of its pieces, as the tokenizer cuts running text."""
    labels, stream = piece_labels(tokenizer), iter(lines)
    backend = tokenizer.backend_tokenizer
    while batch := list(islice(stream, _BATCH)):
        for encoded in backend.encode_batch_fast(batch, add_special_tokens=False):
            yield [label for index in encoded.ids if (label := labels[index]) is not None]
