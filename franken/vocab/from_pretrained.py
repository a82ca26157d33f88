"""``vocab=from_pretrained``: take a finished tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from franken.declare import option
from franken.errors import ConfigError
from franken.lazy import later
from franken.vocab.base import Vocab

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.tokenizer.assembly import build
    from franken.tokenizer.pipeline import ReadOnlyKind, pipeline_of
    from franken.tokenizer.types import VocabResult, VocabTexts

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)


@option
class FromPretrainedVocab(Vocab):
    """A finished tokenizer from a directory or the hub (vocab.path).

    WordPiece too, whose cls and sep become bos and eos where it has none. Where more than 5 % of a
    language's lines do not come back from encoding and decoding (lower-casing, dropped accents), a
    warning says so.
    """

    version: ClassVar[int] = 2

    path: str = ""
    """Directory with ``tokenizer.json`` (or ``tokenizer.model``), or a hub id."""
    revision: str | None = None
    """Hub revision; a commit hash makes the run repeatable."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no tokenizer; give a directory or a hub id"
        directory = Path(self.path).expanduser()
        has_one = any((directory / name).is_file() for name in TOKENIZER_FILES)
        if self.path and directory.is_dir() and not has_one:
            wanted = ", ".join(TOKENIZER_FILES)
            yield "path", f"directory {self.path} holds no tokenizer; expected one of {wanted}"

    def build(self, base: PreTrainedTokenizerBase, texts: VocabTexts) -> VocabResult:
        """Load the tokenizer at ``config.path``; code that comes with it is never run."""
        pipeline = pipeline_of(load_tokenizer(self.path, revision=self.revision))
        settings = dict(pipeline.settings)
        if pipeline.kind is ReadOnlyKind.wordpiece:
            # BERT's [CLS] and [SEP] stand where a language model has bos and eos.
            for role, stand_in in (("bos_token", "cls_token"), ("eos_token", "sep_token")):
                if role not in settings and stand_in in settings:
                    settings[role] = settings[stand_in]
        reserved = len(pipeline.reserved())
        parts = {"reserved": reserved, "new": len(pipeline.pieces) - reserved}
        return VocabResult(build(replace(pipeline, settings=settings)), {"parts": parts})


def load_tokenizer(path: str, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load a tokenizer from a directory or the hub, its ``tokenizer.json`` as it stands.

    Raises:
        ConfigError: If there is none, saying what was looked for.
    """
    from transformers import AutoTokenizer
    from transformers.utils.hub import cached_file

    from franken.parts.tokenizer_files import load_checkpoint_tokenizer

    directory = Path(path).expanduser()
    is_local = directory.is_dir()
    if is_local and not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise ConfigError(
            f"vocab.path: directory {path} holds no tokenizer; expected one of "
            f"{', '.join(TOKENIZER_FILES)}"
        )
    try:
        if not is_local:
            loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                path, revision=revision, trust_remote_code=False
            )
            stored = cached_file(
                path,
                "tokenizer.json",
                revision=revision,
                _raise_exceptions_for_missing_entries=False,
            )
            if stored is None:
                return loaded
            directory = Path(stored).parent
        return load_checkpoint_tokenizer(directory)
    except (OSError, ValueError, ImportError) as error:
        kind = "directory" if is_local else "hub id (there is no such directory)"
        raise ConfigError(
            f"vocab.path: no tokenizer could be loaded from {kind} {path!r}: {error}"
        ) from error
