"""Options of the group ``vocab``: how the tokenizer of the adapted model is built."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least, in_range


class LineSampling(StrEnum):
    """How lines per language are drawn for tokenizer training."""

    cap = "cap"
    temperature = "temperature"


class Splitting(StrEnum):
    """What becomes of the base's rules for where a word ends."""

    keep = "keep"
    marks = "marks"


@dataclass
class VocabConfig:
    """What every vocabulary option has."""

    name: str = "original"


@dataclass
class OriginalVocab(VocabConfig):
    """Keep the tokenizer of the base model."""

    name: str = "original"


@dataclass
class FromPretrainedVocab(VocabConfig):
    """Take a finished tokenizer: a local directory or a hub id.

    WordPiece too, whose cls and sep become bos and eos where it has none. Where more than 5 % of a
    language's lines do not come back from encoding and decoding (lower-casing, dropped accents), a
    warning says so.
    """

    name: str = "from_pretrained"
    path: str = ""
    """Directory with ``tokenizer.json`` (or ``tokenizer.model``), or a hub id."""
    revision: str | None = None
    """Hub revision; a commit hash makes the run repeatable."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no tokenizer; give a directory or a hub id"


@dataclass
class TrainedVocab(VocabConfig):
    """Shared by the options that train pieces on text."""

    size: int | None = None
    """Total vocabulary size in tokens; ``null`` means that of the base model (`match_base`)."""
    sampling: LineSampling = LineSampling.cap
    """``cap``: at most ``max_lines_per_language`` each (the paper); ``temperature``: resample."""
    max_lines_per_language: int = 500_000
    """Lines per language that the trainer may read."""
    temperature: float = 1.0
    """Used by ``sampling=temperature``: lines in proportion to size ** (1 / temperature)."""
    include_source: bool = False
    """Whether source-language lines enter the training of new pieces (unstated in the paper)."""
    split: Splitting = Splitting.keep
    """``marks``: combining marks are parts of words (Llama 3, Qwen 3 cut Tamil at every vowel)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("size", self.size, 300)
        yield from at_least("max_lines_per_language", self.max_lines_per_language, 1)
        yield from at_least("temperature", self.temperature, 1e-3)


@dataclass
class ScratchVocab(TrainedVocab):
    """A new tokenizer of the base model's kind, trained on target and source text alone."""

    name: str = "scratch"
    include_source: bool = True
    drop_unused: bool = False
    """Whether the base's ``<unusedN>`` and the like go; Gemma 3 has 6,242 of them."""


@dataclass
class ExtensionVocab(TrainedVocab):
    """The base vocabulary with new pieces appended."""

    name: str = "extension"
    added: int | None = None
    """How many pieces are appended; ``null``: 34 % of the base vocabulary (the paper's A10)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("added", self.added, 1)


@dataclass
class PruneExtendVocab(TrainedVocab):
    """Franken-Adapter 2.2: as many base pieces give way to new ones as are not missed.

    What target text uses stays. Of the rest those go first that the probe (source-language text)
    makes the least likely, as far as it can tell: source text may lose one token in 4,000 by its
    estimate, and of a script that other languages share a fifth of the unused pieces.
    """

    name: str = "prune_extend"
    added: int | None = None
    """How many new pieces, whatever gives way to them; ``null``: as many as nobody misses."""
    probe_sentences: int = 20_000_000
    """Source-language sentences that decide which base pieces are kept."""
    min_count: int = 1
    """A base piece counts as used when the probe uses it at least so often."""
    kept_share: float | None = None
    """Keep at most this share of the vocabulary where new pieces take the room (the paper: 0.6)."""
    keep_scripts: list[str] = field(default_factory=list)
    """Unicode scripts whose pieces go last; none named: no script goes first."""
    merge_closure: bool = True
    """Also keep the pieces that arise on the way to a kept piece (spec 9.1 a)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("added", self.added, 1)
        yield from at_least("probe_sentences", self.probe_sentences, 1)
        yield from at_least("min_count", self.min_count, 1)
        yield from in_range("kept_share", self.kept_share, 0.01, 1.0)
