"""Text to ids by one rule for all systems: no token spans the border of prompt and continuation.

It is the rule by which instructions are encoded for training (``franken.data.encoding``), so that a
model meets at evaluation the segmentation it was trained on, whatever its vocabulary (spec 9.7).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from franken.errors import CompatibilityError

_ANCHOR = "\n"


def fitting(ids: list[int], room: int | None) -> list[int]:
    """At most ``room`` ids, one at least: the first, which opens the prompt, and the last ones."""
    if room is None or len(ids) <= room:
        return ids
    return [ids[0], *ids[len(ids) - max(room - 1, 0) :]]


class Encoder:
    """Token ids of prompts and continuations."""

    def __init__(self, tokenizer: Any, writable: int | None = None) -> None:
        """Args: see below.

        Args:
            tokenizer: a fast tokenizer of transformers.
            writable: ids from here on are never generated; ``None``: all may be.
        """
        self.tokenizer, self.writable = tokenizer, writable

    @cached_property
    def start(self) -> int:
        """Id that opens every sequence: bos, or eos for vocabularies without bos (GPT-2)."""
        for candidate in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id):
            if candidate is not None:
                return int(candidate)
        raise CompatibilityError(
            "the tokenizer has neither bos nor eos, so the first token of a text has no context to "
            "be predicted from; set bos_token or eos_token in its tokenizer_config.json"
        )

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without bos and eos."""
        if not texts:
            return []
        rows: list[list[int]] = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return rows

    def prompts(self, pieces: Sequence[Sequence[tuple[str, bool]]]) -> list[list[int]]:
        """Ids of prompts given as pieces ``(text, whether the model is to write such text)``.

        One vocabulary encodes them as one text.
        """
        return self.texts(["".join(text for text, _ in prompt) for prompt in pieces])

    def text(self, text: str) -> list[int]:
        """Ids of one text, without bos and eos."""
        return self.texts([text])[0]

    def answers(self, prompt: str, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """Ids of a prompt as it stands alone, and of each text that may follow it.

        The tokens of a continuation are those after the prompt's in the joined text. Where joining
        would change the prompt's own tokens, the continuation is tokenised apart.
        """
        head = self.text(prompt)
        tails = []
        for text, whole in zip(texts, self.texts([prompt + text for text in texts]), strict=True):
            joined = whole[: len(head)] == head
            tails.append(whole[len(head) :] if joined else self.continuation(text))
        return head, tails

    def continuation(self, text: str) -> list[int]:
        """Ids of a text that follows another: a tokenizer's automatic word start is left out."""
        anchor, joined = self.texts([_ANCHOR, _ANCHOR + text])
        return joined[len(anchor) :] if joined[: len(anchor)] == anchor else self.text(text)

    def opened(self, ids: list[int], room: int | None) -> tuple[list[int], bool]:
        """Start id and prompt ids, cut on the left to ``room`` tokens in all.

        Returns:
            The ids and whether something was cut.
        """
        whole = [self.start, *ids]
        kept = fitting(whole, room)
        return kept, len(kept) < len(whole)


class MixedEncoder(Encoder):
    """Prompts in one vocabulary, what follows in another: a Hydra LLM's view (spec 3.2).

    Ids of the written vocabulary stand for themselves, those of the read one are shifted.
    """

    def __init__(self, tokenizer: Any, reader: Any, offset: int, writable: int) -> None:
        """Args: see below.

        Args:
            tokenizer: of what is written.
            reader: tokenizer of the prompts.
            offset: first id of the read vocabulary.
            writable: ids of the written vocabulary that belong to tokens.
        """
        super().__init__(tokenizer, writable)
        self.reader, self.writer, self.offset = Encoder(reader), Encoder(tokenizer), offset

    @cached_property
    def start(self) -> int:
        """The read vocabulary's."""
        return self.reader.start + self.offset

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Texts to be read."""
        return [[index + self.offset for index in ids] for ids in self.reader.texts(texts)]

    def prompts(self, pieces: Sequence[Sequence[tuple[str, bool]]]) -> list[list[int]]:
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

    def answers(self, prompt: str, texts: Sequence[str]) -> tuple[list[int], list[list[int]]]:
        """The prompt to be read, and each text that may be written after it."""
        return self.text(prompt), [self.continuation(text) for text in texts]
