"""Sentence pairs as numbered rows, and the batches of them that steps of a training read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from franken.config.data import DataConfig, RomanForm, RomaniseConfig
from franken.data import open_data
from franken.data.shuffle import EndlessOrder
from franken.errors import DataError
from franken.files import hash_json
from franken.seeds import derive_seed

WIDTH = 8
"""Rows are padded to a multiple of so many tokens."""
Batch = dict[str, Tensor]


class Sentences(NamedTuple):
    """Two texts that belong together, and their language."""

    first: str
    second: str
    language: int


def translations(data: DataConfig, languages: Sequence[str], most: int) -> list[Sentences]:
    """The first pairs of each language with the source language.

    Raises:
        DataError: where a language has none.
    """
    source, found = open_data(data), list[Sentences]()
    for number, lang in enumerate(languages):
        own = [Sentences(p.source, p.target, number) for p in islice(source.pairs(lang), most)]
        found += own
        _refuse_none(own, f"sentence pairs in {lang!r}", data)
    return found


def romanised(data: DataConfig, languages: Sequence[str], most: int) -> list[Sentences]:
    """The first sentences of each language that have another form in Latin letters.

    Raises:
        DataError: where a language has none.
    """
    plain = open_data(replace(data, romanise=RomaniseConfig()))
    found: list[Sentences] = []
    for number, lang in enumerate(languages):
        config = replace(data.romanise, languages=[lang], form=RomanForm.latin, codes={
            code: name for code, name in data.romanise.codes.items() if code == lang
        })  # fmt: skip
        latin = open_data(replace(data, romanise=config)).texts("monolingual", lang)
        both = zip(plain.texts("monolingual", lang), latin, strict=True)
        other = (Sentences(one, two, number) for one, two in both if one != two)
        own = list(islice(other, most))
        found += own
        _refuse_none(own, f"sentences in other than Latin letters in {lang!r}", data)
    return found


def alone(data: DataConfig, languages: Sequence[str], most: int) -> list[Sentences]:
    """The first sentences of each language, each with itself."""
    source, found = open_data(data), list[Sentences]()
    for number, lang in enumerate(languages):
        texts = islice(source.texts("monolingual", lang), most)
        own = [Sentences(text, text, number) for text in texts]
        found += own
        _refuse_none(own, f"sentences in {lang!r}", data)
    return found


def _refuse_none(found: Sequence[Sentences], what: str, data: DataConfig) -> None:
    if not found:
        raise DataError(
            f"data={data.name} has no {what}, which pair_loss reads; name other "
            "pair_loss.languages, or leave pair_loss out"
        )


@dataclass(frozen=True)
class PairRows:
    """Pairs as token ids; batches go by number, so that a position is all the state there is.

    Control tokens are those that the tokenizer puts around a text, as heads read it.
    """

    sentences: Sequence[Sentences]
    tokenizer: Any
    length: int
    """Tokens at most of a side; longer ones are cut at the end."""
    rows: int
    """Pairs of a batch."""
    seed: int
    single: bool = False
    """Whether both sides are one sentence, which is then read once."""

    def __len__(self) -> int:
        return len(self.sentences)

    def numbers(self, batch: int) -> list[int]:
        """The pairs of the batch of this number: every pair once per epoch, in a drawn order."""
        return [self._order[batch * self.rows + row] for row in range(self.rows)]

    def batch_of(self, numbers: Sequence[int]) -> Batch:
        """``(2 B, L)`` int64: the first sides of the pairs, then the second ones (``single``: B).

        ``input_ids``, ``position_ids``, ``segment_ids`` (1 text, 0 padding), ``control_ids`` (1
        where a control token stands), and per pair ``numbers`` and ``languages``, ``(B,)``.
        """
        sides = (0,) if self.single else (0, 1)
        own = [self._encoded[n][side] for side in sides for n in numbers]
        width = -(-max(map(len, own)) // WIDTH) * WIDTH
        ids = torch.full((len(own), width), self._pad)
        segments = torch.zeros_like(ids)
        for at, row in enumerate(own):
            ids[at, : len(row)] = torch.tensor(row)
            segments[at, : len(row)] = 1
        return {
            "input_ids": ids, "segment_ids": segments,
            "position_ids": torch.arange(width).expand_as(ids) * segments,
            "control_ids": torch.isin(ids, self._control).long(),
            "numbers": torch.tensor(numbers),
            "languages": torch.tensor([self.sentences[n].language for n in numbers]),
        }  # fmt: skip

    def in_turn(self, rows: int = 64) -> Iterator[Batch]:
        """All pairs once, as they come."""
        for start in range(0, len(self), rows):
            yield self.batch_of(range(start, min(start + rows, len(self))))

    def fingerprint(self) -> str:
        """Hash of what all rows hold."""
        return hash_json([self._encoded, [s.language for s in self.sentences], self.rows])

    @property
    def _pad(self) -> int:
        ids = (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id, 0)
        return int(next(number for number in ids if number is not None))

    @cached_property
    def _control(self) -> Tensor:
        """Ids of control tokens; an unknown word is a word, unless its token has another role."""
        tokenizer = self.tokenizer
        roles = ("bos", "eos", "cls", "sep", "mask", "pad")
        own = {getattr(tokenizer, f"{role}_token_id") for role in roles}
        words = {tokenizer.unk_token_id} - own
        found = {*tokenizer.all_special_ids, self._pad} - words
        return torch.tensor(sorted(found))

    @cached_property
    def _order(self) -> EndlessOrder:
        return EndlessOrder(len(self), derive_seed(self.seed, "pairs"))

    @cached_property
    def _encoded(self) -> list[tuple[list[int], list[int]]]:
        sides = []
        for texts in ([s.first for s in self.sentences], [s.second for s in self.sentences]):
            found = self.tokenizer(texts, truncation=True, max_length=self.length)["input_ids"]
            sides.append([ids or [self._pad] for ids in found])  # a text without any token
        return list(zip(*sides, strict=True))
