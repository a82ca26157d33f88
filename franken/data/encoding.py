"""From records to token ids: where a document begins and ends, and which tokens have a loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from franken.data.source import Instruction, Pair
from franken.errors import DataError
from franken.files import hash_json
from franken.tokenizer.chat import chat_prompt, turn_end, uses_chat
from franken.tokenizer.text_ids import after_prompts, opening_ids, text_ids


@dataclass(frozen=True)
class Encoded:
    """One record as token ids."""

    ids: npt.NDArray[np.int64]
    """``(n,)`` bos (where the tokenizer puts it in front by itself), text, eos (if it has one)."""
    silent: int
    """Leading tokens without loss."""
    characters: int
    truncated: bool


class RecordEncoder:
    """Encodes texts and instructions as ``bos + text + eos``; bos where the tokenizer adds one.

    An instruction is the prompt followed by the response. The prompt is tokenised exactly as it is
    when the model is asked at test time, that is alone, and the response tokens follow; no token
    spans the border. If neither side of the border has white space, one space is put there, and it
    belongs to the response.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, chat: str = "off") -> None:
        """Args: ``tokenizer`` gives the ids; what it puts in front, and its eos."""
        self.tokenizer = tokenizer
        # A copy: truncation and padding of the tokenizer given stay as they are. Its batches are
        # three to five times as fast as those of the wrapper, which keeps offsets.
        self._backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self.bos: list[int] = opening_ids(tokenizer)
        end = tokenizer.eos_token_id
        if end is None and tokenizer.mask_token_id is not None:
            end = tokenizer.sep_token_id  # BERT
        self.eos: list[int] = [] if end is None else [int(end)]
        self.chat = uses_chat(tokenizer, chat)
        turn = turn_end(tokenizer) if self.chat else None
        self.end: list[int] = self.eos if turn is None else [turn]
        """What a response ends with: in chat form the end of a turn, else eos."""
        self.id_count = max(len(tokenizer), max(tokenizer.get_vocab().values(), default=0) + 1)
        self.pad = next(
            (
                number
                for number in (tokenizer.pad_token_id, tokenizer.eos_token_id)
                if number is not None
            ),
            0,
        )

    def encode(
        self, records: Sequence[str | Instruction], max_length: int | None = None
    ) -> list[Encoded | None]:
        """Encode a chunk of one kind; ``None`` stands for a record without any text token.

        Args:
            records: All texts or all instructions.
            max_length: Longer texts are cut at the end; longer instructions lose the beginning of
                their prompt first, and the end of their response only if that is not enough.
        """
        texts = [record for record in records if isinstance(record, str)]
        if len(texts) == len(records):
            return self._encode_texts(texts, max_length)
        asked = [record for record in records if isinstance(record, Instruction)]
        return self._encode_instructions(asked, max_length)

    def fingerprint(self) -> str:
        """Hash of everything that decides which ids a text gets."""
        chat = [str(self.tokenizer.chat_template), self.end] if self.chat else []
        return hash_json([self._backend.to_str(), self.bos, self.eos, *chat])

    def ids(self, texts: Sequence[str], *, control: bool = True) -> list[list[int]]:
        """Token ids of each text, without bos and eos.

        Args:
            texts: A chunk.
            control: Whether the names of control tokens inside a text stand for these tokens, as in
                the prompts of a chat model; otherwise they are text like any other.
        """
        return text_ids(self._backend, texts, control=control)

    def _encode_texts(self, texts: list[str], max_length: int | None) -> list[Encoded | None]:
        encoded: list[Encoded | None] = []
        for text, ids in zip(texts, self.ids(texts, control=False), strict=True):
            whole = [*self.bos, *ids, *self.eos]
            cut = max_length is not None and len(whole) > max_length
            array = np.array(whole[:max_length] if cut else whole, dtype=np.int64)
            encoded.append(Encoded(array, 0, len(text), cut) if ids else None)
        return encoded

    def _encode_instructions(
        self, records: list[Instruction], max_length: int | None
    ) -> list[Encoded | None]:
        if self.chat:
            prompts = [chat_prompt(self.tokenizer, [], record.prompt) for record in records]
            responses = [record.response.strip() for record in records]
        else:
            prompts = [record.prompt for record in records]
            responses = [joined_response(record.prompt, record.response) for record in records]
        heads, tails = after_prompts(self.ids, prompts, responses)
        opened = len(self.bos)  # a template may write bos itself
        heads = [head[opened:] if head[:opened] == self.bos else head for head in heads]
        return [
            self._instruction(before, after, len(prompt) + len(response), max_length)
            for prompt, response, before, after in zip(
                prompts, responses, heads, tails, strict=True
            )
        ]

    def _instruction(
        self, prompt: list[int], response: list[int], characters: int, max_length: int | None
    ) -> Encoded | None:
        if not response:
            return None
        after = [*response, *self.end]
        room = None if max_length is None else max_length - len(self.bos)
        cut = room is not None and len(prompt) + len(after) > room
        if cut and room is not None:
            after = after[: max(room - 1, 1)]
            prompt = prompt[max(len(prompt) + len(after) - room, 0) :]
        before = [*self.bos, *prompt]
        return Encoded(np.array(before + after, dtype=np.int64), len(before), characters, cut)


def joined_response(prompt: str, response: str) -> str:
    """The response with the white space that separates it from the prompt."""
    bare = not (prompt[-1:].isspace() or response[:1].isspace() or not prompt)
    return f" {response}" if bare else response


def pair_text(
    pair: Pair, template: str, source_name: str, target_name: str, *, reverse: bool
) -> str:
    """A sentence pair as one training text.

    Args:
        pair: The two sentences.
        template: Holds ``{from_text}``, ``{to_text}``, ``{from_name}``, ``{to_name}``.
        source_name: What the template calls the source language.
        target_name: What it calls the target language.
        reverse: Whether the target language comes first.
    """
    sides = [(source_name, pair.source), (target_name, pair.target)]
    (from_name, from_text), (to_name, to_text) = reversed(sides) if reverse else sides
    places = {
        "{from_name}": from_name,
        "{from_text}": from_text,
        "{to_name}": to_name,
        "{to_text}": to_text,
    }
    return _fill(template, places)


def split_pair(template: str, texts: tuple[str, ...], names: Sequence[str]) -> tuple[str, str]:
    """A sentence pair as what is read and what is written after it.

    Args:
        template: As of ``pair_text``; what stands before ``{to_text}`` is read.
        texts: The text to translate, and its translation.
        names: What the template calls their languages.

    Returns:
        The prompt without the white space at its end, and the translation with what follows it.
    """
    head, mark, tail = template.partition("{to_text}")
    if not mark or "{from_text}" in tail:
        raise DataError(
            f"the template {template!r} must hold {{to_text}} once, after {{from_text}}: what "
            "stands before it is read, the rest is written"
        )
    places = {"{from_name}": names[0], "{from_text}": texts[0], "{to_name}": names[1]}
    return _fill(head, places).rstrip(" "), texts[1] + _fill(tail, places)


def _fill(template: str, places: dict[str, str]) -> str:
    """Put values in place in one pass, so that braces inside a sentence stay what they are."""
    text, rest = "", template
    while rest:
        found = [(rest.find(name), name) for name in places if name in rest]
        if not found:
            return text + rest
        at, name = min(found)
        text += rest[:at] + places[name]
        rest = rest[at + len(name) :]
    return text
