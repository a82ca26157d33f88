"""The streams that a mixture draws on, tokenised once and kept in a work directory."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from franken.config.data import Directions, Mixture
from franken.data.corpus import TokenCorpus, open_corpus, write_corpus
from franken.data.encoding import RecordEncoder, pair_text
from franken.data.mixing import StreamKey
from franken.data.source import TEXT_STREAMS, TRAIN, DataSource, Instruction, Pair
from franken.data.subsampling import Record, measure, record_characters, thin
from franken.errors import ArtifactError, DataError
from franken.files import hash_json

logger = logging.getLogger(__name__)

WHOLE_ROLES = ("parallel", "instructions")
"""Roles whose records are never split over two sequences."""
FORMAT_VERSION = 1
HEAD = 256
"""Records that tell how many characters make a token."""
HEADROOM = 1.2
"""More characters are taken than that figure says, as the head may differ from the rest."""

_TURNED = {
    Directions.both: (False, True), Directions.to_target: (False,), Directions.to_source: (True,),
}  # fmt: skip
"""Whether pairs are turned around, by turns."""


@dataclass(frozen=True)
class StreamBuilder:
    """Tokenises the streams of one mixture."""

    source: DataSource
    mixture: Mixture
    encoder: RecordEncoder
    directory: Path
    source_language: str
    languages: tuple[str, ...]
    """Target languages."""
    length: int
    """Tokens per sequence; whole records are cut to it."""
    workers: int = field(default=1, kw_only=True)
    """Processes that tokenise."""

    def stream_keys(self) -> list[StreamKey]:
        """The streams that the mixture asks for and the data offer, sorted.

        The share of a role that the data lack goes to the others, in proportion.

        Raises:
            DataError: If the data offer none of the roles.
        """
        keys: list[StreamKey] = []
        asked = sorted(role for role, share in self.mixture.shares.items() if share > 0)
        for role in asked:
            wanted = self._languages(role)
            offered = [language for language in wanted if self.source.has(role, language)]
            if missing := sorted(set(wanted) - set(offered)):
                logger.warning(
                    "the data option %r offers no %s in %s%s",
                    self.source.config.name,
                    role,
                    ", ".join(missing),
                    "" if offered else f"; its share {self.mixture.shares[role]} goes to the rest",
                )
            keys += [StreamKey(role, language) for language in offered]
        if not keys:
            wanted = self._languages(asked[0])
            raise DataError(
                f"the mixture asks for {', '.join(asked)} in {', '.join(wanted) or 'no language'}, "
                f"and the data option {self.source.config.name!r} offers none of it; name a source "
                f"data.{asked[0]}.train, or look at the paths and data.root"
            )
        return sorted(keys)

    def bytes_per_token(self, sizes: npt.NDArray[np.int64]) -> float:
        """Bytes of text per token at the heads of the streams, all streams alike.

        Raises:
            DataError: where they hold none.
        """
        read = tokens = 0
        for key in self.stream_keys():
            head = list(islice(self._raw(key, TRAIN), HEAD))
            for item in self.encoder.encode(list(self.as_trained(key, head))):
                if item is not None:
                    tokens += len(item.ids)
                    read += int(sizes[np.asarray(item.ids)].sum())
        if not read:
            raise DataError("the streams of the mixture hold no text, so no budget can be used up")
        return read / tokens

    def corpus(self, key: StreamKey, split: str, max_tokens: int) -> TokenCorpus:
        """The tokens of a stream, from the work directory if they are there and intact."""
        directory = self.directory / self._name(key, split, max_tokens)
        if directory.exists():
            try:
                return open_corpus(directory)
            except ArtifactError as error:
                logger.warning("%s", error)
        raw = self._raw(key, split)
        head = list(islice(raw, HEAD))
        need = HEADROOM * max_tokens * self._characters_per_token(key, head)
        subsample, held = measure(chain(head, raw), need, self.mixture.read_ahead)
        stream = self._raw(key, split) if held is None else iter(held)
        return write_corpus(
            self.as_trained(key, thin(stream, subsample)),
            self.encoder,
            directory,
            max_tokens=max_tokens,
            max_length=self.length if key.role in WHOLE_ROLES else None,
            stream_characters=subsample.characters,
            workers=self.workers,
        )

    def as_trained(self, key: StreamKey, records: Iterable[Record]) -> Iterator[str | Instruction]:
        """Records as they are tokenised: pairs become texts, in the mixture's directions."""
        config = self.source.config
        names = [
            config.language_names.get(language, language)
            for language in (self.source_language, key.language)
        ]
        turns = _TURNED[self.mixture.directions]
        for number, record in enumerate(records):
            if isinstance(record, Pair):
                reverse = turns[number % len(turns)]
                yield pair_text(record, config.parallel_template, *names, reverse=reverse)
            else:
                yield record

    def why_empty(self, key: StreamKey) -> str:
        """Why a training stream gave no tokens, and what to do."""
        tasks = self.mixture.tasks if key.role == "instructions" else None
        found = sum(1 for _ in islice(self._raw(key, TRAIN), HEAD))
        place = f"data.{key.role}.train in {key.language!r}"
        if tasks and next(iter(self.source.instructions(TRAIN)), None) is not None:
            return f"{place} has no record of the tasks {', '.join(tasks)}; see `tasks`"
        if found:
            return f"its {found} first records (of {place}) hold no token of this vocabulary"
        return f"{place} has no record in it; fill it, or set the share of {key.role} to 0"

    def _characters_per_token(self, key: StreamKey, head: list[Record]) -> float:
        encoded = self.encoder.encode(list(self.as_trained(key, head)))
        tokens = sum(len(item.ids) for item in encoded if item is not None)
        return sum(map(record_characters, head)) / max(tokens, 1)

    def _raw(self, key: StreamKey, split: str) -> Iterator[Record]:
        if key.role in TEXT_STREAMS:
            return self.source.texts(key.role, key.language, split)
        if key.role == "instructions":
            wanted = self.mixture.tasks
            records = self.source.instructions(split)
            return (r for r in records if r.task in wanted) if wanted else records
        return self.source.pairs(key.language, split)

    def _languages(self, role: str) -> list[str]:
        if role == "instructions":
            return [self.source_language]
        named = self.mixture.languages
        languages = list(named) if named is not None else [self.source_language, *self.languages]
        if role == "parallel":
            languages = [language for language in languages if language != self.source_language]
        return list(dict.fromkeys(languages))

    def _name(self, key: StreamKey, split: str, max_tokens: int) -> str:
        config = self.source.config
        content = {
            "version": FORMAT_VERSION,
            "source": self.source.fingerprint(),
            "config": hash_json(repr(config)),
            "tokenizer": self.encoder.fingerprint(),
            "length": self.length,
            "max_tokens": max_tokens,
            "read_ahead": self.mixture.read_ahead,
            "tasks": self.mixture.tasks,
            "directions": str(self.mixture.directions),
        }
        return f"{split}-{key.role}-{key.language}-{hash_json(content)[:16]}"
