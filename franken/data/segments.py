"""Training data over several vocabularies: a prompt in one, what is learnt in another.

Trans-Tokenization 3.2: each segment is encoded by its own tokenizer and its ids get that
vocabulary's offset; only what is to be written has labels.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from franken.data.datamodule import TextDataModule
from franken.data.encoding import Encoded, RecordEncoder, joined_response, split_pair
from franken.data.mixing import StreamKey
from franken.data.source import Instruction, Pair
from franken.data.streams import StreamBuilder
from franken.data.subsampling import Record
from franken.errors import CompatibilityError, DataError
from franken.files import hash_json
from franken.tokenizer.text_ids import continuations


class Turn(NamedTuple):
    """What is read and what is to be written after it, each with its vocabulary."""

    prompt: str
    """Empty for plain text, all of which is learnt."""
    response: str
    read: str
    write: str


@dataclass(frozen=True)
class Flow:
    """Which vocabulary serves which text, and which way sentence pairs go.

    Attributes:
        tables: language -> vocabulary.
        directions: ``to_target`` (source language read, target language written), ``to_source``,
            or both in turn.
        prompt: template of the pairs, as ``data.parallel_template``.
        copies: share of the pairs whose translation is replaced by the text itself: read and
            written in one language, which teaches to say again what was read.
    """

    tables: Mapping[str, str]
    directions: tuple[str, ...] = ("to_target",)
    prompt: str = "{from_name} : {from_text}\n{to_name} : {to_text}"
    copies: float = 0.0

    def of(self, language: str) -> str:
        """Vocabulary of a language.

        Raises:
            DataError: where it has none.
        """
        if language not in self.tables:
            raise DataError(
                f"language {language!r} of the training data has no table; languages with one: "
                f"{', '.join(sorted(self.tables))}"
            )
        return self.tables[language]


class SegmentEncoder:
    """``RecordEncoder`` for turns: ids of the common space of several vocabularies."""

    def __init__(
        self,
        tokenizers: Mapping[str, PreTrainedTokenizerBase],
        offsets: Mapping[str, int],
        total: int,
        written: Sequence[str],
    ) -> None:
        """Args: see below.

        Args:
            tokenizers: by vocabulary.
            offsets: first id of each.
            total: ids in all.
            written: vocabularies whose ids may be labels.
        """
        self.encoders = {name: RecordEncoder(t) for name, t in tokenizers.items()}
        self.offsets = dict(offsets)
        self.written = tuple(written)
        self.id_count = total
        first = next(iter(self.encoders))
        self.pad = self.encoders[first].pad + self.offsets[first]

    def fingerprint(self) -> str:
        """Hash of everything that decides which ids a turn gets."""
        parts = {
            name: [encoder.fingerprint(), self.offsets[name]]
            for name, encoder in self.encoders.items()
        }
        return hash_json([parts, list(self.written)])

    def encode(
        self, records: Sequence[Turn], max_length: int | None = None
    ) -> list[Encoded | None]:
        """Encode turns of one kind; ``None`` stands for one without any token to learn.

        Args:
            records: turns.
            max_length: longer turns lose the beginning of their prompt first.
        """
        found: list[Encoded | None] = [None] * len(records)
        groups: dict[tuple[str, str], list[int]] = {}
        for place, turn in enumerate(records):
            groups.setdefault((turn.read, turn.write), []).append(place)
        for (read, write), places in groups.items():
            chosen = [records[place] for place in places]
            encoded = self._group(read, write, chosen, max_length)
            for place, item in zip(places, encoded, strict=True):
                found[place] = item
        return found

    def _group(
        self, read: str, write: str, turns: list[Turn], max_length: int | None
    ) -> list[Encoded | None]:
        if write not in self.written:
            raise CompatibilityError(
                f"the training data write in table {write!r}, which is not among the written ones "
                f"({', '.join(self.written)}); leave those texts out or write it too"
            )
        if read == write:
            return [self._shifted(item, write) for item in self._alone(write, turns, max_length)]
        reader, writer = self.encoders[read], self.encoders[write]
        prompts = reader.ids([turn.prompt for turn in turns])
        bodies = continuations(writer.ids, [joined_response(t.prompt, t.response) for t in turns])
        encoded: list[Encoded | None] = []
        for turn, prompt, response in zip(turns, prompts, bodies, strict=True):
            after = np.array([*response, *writer.eos], dtype=np.int64) + self.offsets[write]
            before = np.array([*reader.bos, *prompt], dtype=np.int64) + self.offsets[read]
            room = None if max_length is None else max(1, max_length - len(after))
            cut = room is not None and len(before) > room
            if cut and room is not None:
                kept = before[len(before) - (room - len(reader.bos)) :]
                before = np.concatenate([before[: len(reader.bos)], kept])
                after = after[: (max_length or len(after)) - len(before)]
            ids = np.concatenate([before, after])
            characters = len(turn.prompt) + len(turn.response)
            encoded.append(Encoded(ids, len(before), characters, cut) if response else None)
        return encoded

    def _alone(self, name: str, turns: list[Turn], max_length: int | None) -> list[Encoded | None]:
        encoder = self.encoders[name]
        if all(not turn.prompt for turn in turns):
            return encoder.encode([turn.response for turn in turns], max_length)
        return encoder.encode([Instruction(t.prompt, t.response) for t in turns], max_length)

    def _shifted(self, item: Encoded | None, name: str) -> Encoded | None:
        return None if item is None else replace(item, ids=item.ids + self.offsets[name])


@dataclass(frozen=True)
class SegmentStreams(StreamBuilder):
    """The streams of a mixture as turns."""

    flow: Flow = Flow({})

    def as_trained(self, key: StreamKey, records: Iterable[Record]) -> Iterator[Any]:
        """Text in its language's vocabulary; pairs as prompt and translation."""
        config = self.source.config
        source, target = self.source_language, key.language
        for number, record in enumerate(records):
            if isinstance(record, Pair):
                turn, way = divmod(number, len(self.flow.directions))
                backward = self.flow.directions[way] == "to_source"
                copied = int((turn + 1) * self.flow.copies) > int(turn * self.flow.copies)
                languages = (target, source) if backward else (source, target)
                texts = (record.target, record.source) if backward else tuple(record[:2])
                if copied:
                    languages, texts = (languages[0],) * 2, (texts[0],) * 2
                names = [config.language_names.get(code, code) for code in languages]
                prompt, response = split_pair(self.flow.prompt, texts, names)
                read, write = (self.flow.of(code) for code in languages)
                yield Turn(prompt, response, read, write)
            elif isinstance(record, Instruction):
                own = self.flow.of(source)
                yield Turn(record.prompt, record.response, own, own)
            else:
                own = self.flow.of(target)
                yield Turn("", record, own, own)

    def _name(self, key: StreamKey, split: str, max_tokens: int) -> str:
        flow = [dict(self.flow.tables), self.flow.directions, self.flow.prompt, self.flow.copies]
        return f"{super()._name(key, split, max_tokens)}-{hash_json(flow)[:8]}"


class SegmentDataModule(TextDataModule):
    """``TextDataModule`` over several vocabularies."""

    def __init__(self, *, encoder: SegmentEncoder, flow: Flow, **options: Any) -> None:
        """Args: ``encoder``, ``flow``, and what ``TextDataModule`` takes but its tokenizer."""
        first = next(iter(encoder.encoders.values()))
        super().__init__(tokenizer=first.tokenizer, **options)
        if self._silence is not None:
            raise CompatibilityError(
                "`names` of a mixture puts markers of one vocabulary in the text, and this model "
                "has several; leave `names` out, or train a table by itself"
            )
        plain = self.builder
        self.builder = SegmentStreams(
            plain.source, plain.mixture, encoder, plain.directory,  # type: ignore[arg-type]
            plain.source_language, plain.languages, plain.length, flow, workers=plain.workers,
        )  # fmt: skip
