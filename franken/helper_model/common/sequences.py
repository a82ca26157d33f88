"""Text as token sequences of one length, the languages taking turns."""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

_LINES = 512


def collect_tokens(tokenizer: PreTrainedTokenizerBase, lines: Iterable[str], limit: int) -> Tensor:
    """``(n,)`` ids of up to ``limit`` tokens of the lines, each line ended by ``eos`` (if any)."""
    eos = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    found: list[int] = []
    stream = iter(lines)
    while len(found) < limit and (some := list(islice(stream, _LINES))):
        for ids in tokenizer(some, add_special_tokens=False)["input_ids"]:
            found += [*ids, *eos]
    return torch.tensor(found[:limit], dtype=torch.int64)


class LanguageTurns:
    """Batches with as many sequences of each language; each is shuffled anew when it is used up."""

    def __init__(self, tokens: dict[str, Tensor], length: int, seed: int) -> None:
        """Cut the text; a language with less than one sequence repeats its text.

        Args:
            tokens: language -> its tokens, at least one.
            length: of a sequence.
            seed: of the order.
        """
        self._sequences = [_cut(found, length) for found in tokens.values()]
        self._orders: list[list[int]] = [[] for _ in tokens]
        self._generator = torch.Generator().manual_seed(seed)
        self._turn = 0

    def next(self, count: int) -> Tensor:
        """``(count, length)`` ids."""
        rows = []
        for _ in range(count):
            language = self._turn % len(self._sequences)
            self._turn += 1
            sequences, order = self._sequences[language], self._orders[language]
            if not order:
                order += torch.randperm(len(sequences), generator=self._generator).tolist()
            rows.append(sequences[order.pop()])
        return torch.stack(rows)


def trained_part(tokens: Tensor, length: int) -> Tensor:
    """The tokens that lie in whole sequences; the few behind the last one are never read."""
    return tokens[: max(len(tokens) // length * length, length)]


def _cut(tokens: Tensor, length: int) -> Tensor:
    if len(tokens) < length:
        tokens = tokens.repeat(-(-length // len(tokens)))
    return trained_part(tokens, length).view(-1, length)
