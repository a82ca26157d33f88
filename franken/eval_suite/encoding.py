"""Prompts, continuations and held-out text as ids; the rules are in ``tokenizer.text_ids``."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from franken.tokenizer.text_ids import (
    after_prompts,
    continuations,
    hidden_bytes,
    opening_ids,
    text_ids,
)

Piece = tuple[str, bool]
"""A part of a prompt, and whether the model is to write such text."""


def fitting(ids: list[int], room: int | None, opening: int = 1) -> list[int]:
    """At most ``room`` ids: the first ones, which open the prompt, and the last."""
    if room is None or len(ids) <= room:
        return ids
    kept = min(opening, room)
    return [*ids[:kept], *ids[len(ids) - (room - kept) :]]


class Encoder:
    """Token ids of prompts and continuations."""

    def __init__(
        self, tokenizer: Any, writable: int | None = None, *, opening: str = "tokenizer",
        end_ids: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        """Args: see below.

        Args:
            tokenizer: a fast tokenizer of transformers.
            writable: ids from here on are never generated; ``None``: all may be.
            opening: what stands in front of a text, see ``opening_ids``.
            end_ids: ids that end what is written.
        """
        self.tokenizer, self.writable, self.opening = tokenizer, writable, opening
        self.end_ids = end_ids

    @cached_property
    def start(self) -> tuple[int, ...]:
        """Ids that open every sequence; none where the tokenizer puts none."""
        return tuple(opening_ids(self.tokenizer, self.opening))

    @property
    def opening_text(self) -> str:
        """What opens a sequence, for the records; ``none`` where nothing does."""
        ids = opening_ids(self.tokenizer, self.opening)
        return "".join(self.tokenizer.convert_ids_to_tokens(ids)) or "none"

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each prompt or answer, in which control tokens may be named."""
        return text_ids(self.tokenizer.backend_tokenizer, texts, control=True)

    def held_out(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as in training, where the name of a control token is text."""
        return text_ids(self.tokenizer.backend_tokenizer, texts, control=False)

    def hidden_bytes(self, text: str) -> int:
        """Bytes of a held-out text that its ids do not tell."""
        return hidden_bytes(self.tokenizer.backend_tokenizer, text, self.tokenizer.unk_token_id)

    def prompts(self, pieces: Sequence[Sequence[Piece]]) -> list[list[int]]:
        """Ids of prompts given in pieces; one vocabulary encodes them as one text."""
        return self.texts(["".join(text for text, _ in prompt) for prompt in pieces])

    def text(self, text: str) -> list[int]:
        """Ids of one text, with nothing in front or behind."""
        return self.texts([text])[0]

    def answers(
        self, prompts: Sequence[str], texts: Sequence[str]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of prompts as they stand alone, and of the text that may follow each."""
        return after_prompts(self.texts, prompts, texts)

    def continuation(self, text: str) -> list[int]:
        """Ids of a text that follows another: a tokenizer's automatic word start is left out."""
        return continuations(self.texts, [text])[0]

    def opened(self, ids: list[int], room: int | None) -> tuple[list[int], bool]:
        """What opens a sequence and a prompt's ids, cut on the left to ``room`` tokens in all.

        A prompt that begins with the opening already, as chat templates write it, keeps the one.
        A prompt with nothing at all in front is opened as ``always`` says: there must be a token
        to go on from.

        Returns:
            The ids and whether something was cut.
        """
        start = self.start if tuple(ids[: len(self.start)]) != self.start else ()
        whole = [*start, *ids] or self.fallback
        kept = fitting(whole, room, len(self.start))
        return kept, len(kept) < len(whole)

    @cached_property
    def fallback(self) -> list[int]:
        """Bos, else eos: what an empty prompt is opened with."""
        return opening_ids(self.tokenizer, "always")


class MixedEncoder(Encoder):
    """Prompts in one vocabulary, what follows in another: a Hydra LLM's view.

    Ids of the written vocabulary stand for themselves, those of the read one are shifted.
    """

    def __init__(
        self, tokenizer: Any, reader: Any, offset: int, writable: int, *,
        opening: str = "tokenizer", end_ids: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        """Args: see below.

        Args:
            tokenizer: of what is written.
            reader: tokenizer of the prompts.
            offset: first id of the read vocabulary.
            writable: ids of the written vocabulary that belong to tokens.
            opening: what stands in front of a prompt.
            end_ids: ids that end what is written.
        """
        super().__init__(tokenizer, writable, opening=opening, end_ids=end_ids)
        self.reader = Encoder(reader, opening=opening)
        self.writer, self.offset = Encoder(tokenizer), offset

    @cached_property
    def start(self) -> tuple[int, ...]:
        """The read vocabulary's."""
        return tuple(self._shifted(list(self.reader.start)))

    @property
    def opening_text(self) -> str:
        """The read vocabulary's."""
        return self.reader.opening_text

    @cached_property
    def fallback(self) -> list[int]:
        """The read vocabulary's."""
        return self._shifted(self.reader.fallback)

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts to be read."""
        return [self._shifted(ids) for ids in self.reader.texts(texts)]

    def held_out(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts to be read."""
        return [self._shifted(ids) for ids in self.reader.held_out(texts)]

    def hidden_bytes(self, text: str) -> int:
        """The read vocabulary's."""
        return self.reader.hidden_bytes(text)

    def prompts(self, pieces: Sequence[Sequence[Piece]]) -> list[list[int]]:
        """Worked examples keep their answers in the written vocabulary."""
        found = []
        for prompt in pieces:
            ids: list[int] = []
            for text, own in prompt:
                side, offset = (self.writer, 0) if own else (self.reader, self.offset)
                part = side.continuation(text) if ids else side.text(text)
                ids += [index + offset for index in part]
            found.append(ids)
        return found

    def continuation(self, text: str) -> list[int]:
        """A text to be written after a prompt."""
        return self.writer.continuation(text)

    def answers(
        self, prompts: Sequence[str], texts: Sequence[str]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """The prompts to be read, and the text that may be written after each."""
        return self.texts(prompts), continuations(self.writer.texts, texts)

    def _shifted(self, ids: list[int]) -> list[int]:
        return [index + self.offset for index in ids]
