"""Word links from the states that a model has of a sentence and of its translation.

awesome-align (Dou & Neubig, EACL 2021, arXiv 2101.08231) without fine-tuning: similarities of all
tokens of the two sentences at one layer, softmax over either side, tokens linked where both are
above a threshold; two words are linked where any of their tokens are. ``argmax`` is SimAlign's rule
(Jalili Sabet et al., 2020), each the other's nearest, which asks nothing of the states' scale.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from franken.alignment.base import Extraction, Similarity
from franken.alignment.common.bitext import Bitext
from franken.alignment.common.links import Links, from_sentences
from franken.data.labelled_encoding import word_spans
from franken.errors import ConfigError
from franken.eval_suite.batching import ascending_runs, right_padded
from franken.parts.anatomy import anatomy_of

BLOCK = 512
"""Sentence pairs whose states are held at one time."""

Encoded = tuple[list[int], list[int]]
"""Ids, and for each the number of its word; -1 where it belongs to none."""


@dataclass(frozen=True)
class Rule:
    """How similarities become links."""

    similarity: Similarity = Similarity.dot
    temperature: float = 1.0
    extraction: Extraction = Extraction.softmax
    threshold: float = 1e-3

    def links(self, source: Tensor, target: Tensor) -> Tensor:
        """``(S, T)`` which of ``(S, D)`` and ``(T, D)`` states are linked."""
        if self.similarity is Similarity.cosine:
            source, target = F.normalize(source, dim=-1), F.normalize(target, dim=-1)
        alike = source @ target.T / self.temperature
        if self.extraction is Extraction.argmax:
            best = alike == alike.amax(1, keepdim=True)
            return best & (alike == alike.amax(0, keepdim=True))
        return (alike.softmax(1) > self.threshold) & (alike.softmax(0) > self.threshold)


def word_links(
    tokens: Tensor, source: Sequence[int], target: Sequence[int]
) -> set[tuple[int, int]]:
    """Pairs of words any of whose tokens are linked.

    Args:
        tokens: ``(S, T)`` which tokens are.
        source: word of each of the S tokens.
        target: word of each of the T tokens.
    """
    return {(source[i], target[j]) for i, j in tokens.nonzero().tolist()}


class StateAligner:
    """Links sentences by one layer of a model."""

    def __init__(
        self, read: Callable[..., Any], tokenizer: Any, *, layer: int | None, rule: Rule,
        longest: int, device: torch.device, batch_tokens: int = 4096,
    ) -> None:  # fmt: skip
        """Take a layer.

        Args:
            read: forward pass of a masked or causal model, or of its body.
            tokenizer: its own, with offsets.
            layer: 0 is what enters the first one, negative ones count from the end; ``None``: two
                thirds of the way (8 of 12).
            rule: how similarities become links.
            longest: tokens of a sentence at most; words behind them have no links.
            device: where inputs belong.
            batch_tokens: of a forward pass, padding included.
        """
        self.read, self.device, self.tokenizer = read, device, tokenizer
        self.layer, self.rule, self.longest = layer, rule, longest
        self.batch_tokens = batch_tokens

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: Any, **options: Any) -> "StateAligner":
        """By a whole model, whose head is not run."""
        body = model.get_submodule(anatomy_of(model.config).backbone)
        return cls(body, tokenizer, device=model.device, **options)

    def links(self, bitext: Bitext) -> Links:
        """Links of a whole text."""
        return from_sentences(bitext, self.sentences(bitext))

    def sentences(self, bitext: Bitext) -> Iterator[list[tuple[int, int]]]:
        """Links pair by pair, as places of words in their sentences."""
        for first in range(0, len(bitext), BLOCK):
            numbers = range(first, min(first + BLOCK, len(bitext)))
            sides = [
                self.states([side.sentence(n) for n in numbers])
                for side in (bitext.source, bitext.target)
            ]
            for (source, of_source), (target, of_target) in zip(*sides, strict=True):
                if of_source and of_target:
                    linked = self.rule.links(source, target)
                    yield sorted(word_links(linked, of_source, of_target))
                else:
                    yield []

    def states(self, sentences: Sequence[Sequence[str]]) -> list[tuple[Tensor, list[int]]]:
        """``(L, D)`` float32 states of the tokens that belong to words, and the words.

        Raises:
            ConfigError: where the model has no such layer.
        """
        rows = [self.encode(words) for words in sentences]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at][0]))
        found: dict[int, tuple[Tensor, list[int]]] = {}
        for run in ascending_runs([len(rows[at][0]) for at in order], self.batch_tokens):
            chosen = order[run]
            ids, seen = right_padded([rows[at][0] for at in chosen])
            with torch.inference_mode():
                read = self._at_layer(
                    self.read(
                        input_ids=ids.to(self.device), attention_mask=seen.to(self.device),
                        output_hidden_states=True,
                    ).hidden_states
                )  # fmt: skip
            for row, at in enumerate(chosen):
                places = [place for place, word in enumerate(rows[at][1]) if word >= 0]
                words = [rows[at][1][place] for place in places]
                found[at] = (read[row, places].float().cpu(), words)
        return [found[at] for at in range(len(rows))]

    def _at_layer(self, states: Sequence[Tensor]) -> Tensor:
        last = len(states) - 1
        default = round(2 * last / 3)
        chosen = default if self.layer is None else self.layer
        if not -last - 1 <= chosen <= last:
            raise ConfigError(
                f"the model has states 0 to {last}, and layer {chosen} is asked for; choose one of "
                f"these, or null for {default}"
            )
        return states[chosen]

    def encode(self, words: Sequence[str]) -> Encoded:
        """Ids of the words with blanks between, with the tokenizer's own control tokens."""
        made = self.tokenizer(
            " ".join(words), truncation=True, max_length=self.longest, return_offsets_mapping=True
        )  # fmt: skip
        return made["input_ids"], words_of_tokens(made["offset_mapping"], word_spans(words))


def words_of_tokens(
    offsets: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]
) -> list[int]:
    """The word that each token reaches into, the first of several; -1 where it is none.

    Args:
        offsets: of the tokens in the text, ascending; empty ones are control tokens.
        words: spans of the words, ascending.
    """
    found, word = [], 0
    for start, stop in offsets:
        while word < len(words) and words[word][1] <= start:
            word += 1
        inside = start < stop and word < len(words) and words[word][0] < stop
        found.append(word if inside else -1)
    return found
