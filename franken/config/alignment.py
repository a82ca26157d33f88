"""Options of the group ``alignment``: word-pair counts from parallel text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from franken.config.checks import at_least, in_range


class Direction(StrEnum):
    """Which way a one-way model looks."""

    s2t = "s2t"
    """p(target | source): each target word picks a source word."""
    t2s = "t2s"
    """p(source | target): each source word picks a target word."""


class Symmetry(StrEnum):
    """How the links of both directions become one set."""

    none = "none"
    """One direction only."""
    intersect = "intersect"
    union = "union"
    grow_diag_final_and = "grow_diag_final_and"


@dataclass
class AlignmentConfig:
    """What every aligner has."""

    name: str = "ibm1"


@dataclass
class Ibm1Alignment(AlignmentConfig):
    """IBM Model 1, in the tree."""

    name: str = "ibm1"
    em_updates: int = 6
    """EM updates; the reference's ``-I 7`` is six and a Viterbi pass."""
    null: bool = True
    """Whether target words may also come from NULL."""
    tension: float = 0.0
    """Preference for links near the diagonal (fast_align begins with 4); 0 is Model 1, which cannot
    tell words apart that stand in nearly every sentence, such as an article and the full stop."""
    direction: Direction = Direction.s2t
    """Whose expected counts (and, without ``symmetrise``, links) the table has."""
    symmetrise: Symmetry = Symmetry.none
    """For the links: with another value than ``none`` both directions are trained."""
    prune: float = 0.0
    """Pairs less probable than this after the second update leave the model (they stay where they
    are a word's best); 0 keeps all. Saves time and memory on large text."""
    max_pairs: int | None = None
    """Sentence pairs per language at most, from the head; ``null``: all."""
    min_expected: float = 0.01
    """Word pairs with a smaller expected count and no link are not stored. Far below any use of
    the counts; all the pairs that ever share a sentence would fill gigabytes."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("em_updates", self.em_updates, 1)
        yield from in_range("prune", self.prune, 0.0, 1.0)
        yield from at_least("max_pairs", self.max_pairs, 1)
        if not 0.0 <= self.tension < math.inf:
            yield "tension", f"must be a finite number of at least 0, got {self.tension}"
        yield from at_least("min_expected", self.min_expected, 0.0)


@dataclass
class EflomalAlignment(AlignmentConfig):
    """The program ``eflomal-align`` (Östling & Tiedemann 2016), where it is installed."""

    name: str = "eflomal"
    program: str = "eflomal-align"
    """Found on the PATH, or a path. GPL and in need of a C compiler: no part of franken."""
    model: int = 3
    """1: IBM-1, 2: HMM, 3: HMM with fertility."""
    direction: Direction = Direction.s2t
    symmetrise: Symmetry = Symmetry.none
    max_pairs: int | None = None
    """Sentence pairs per language at most; ``null``: all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("model", self.model, 1, 3)
        yield from at_least("max_pairs", self.max_pairs, 1)


TABLE_COLUMNS = ("source", "target", "count", "probability", "log_probability")


@dataclass
class FilesAlignment(AlignmentConfig):
    """Links or a word table made elsewhere; ``{lang}`` in a path stands for the target language."""

    name: str = "files"
    links: str | None = None
    """Pharaoh links, ``0-0 1-2`` per line, of the two text files."""
    source: str | None = None
    """Text whose words, between spaces, ``links`` numbers first."""
    target: str | None = None
    table: str | None = None
    """Instead of links: a TSV of word pairs."""
    columns: list[str] = field(default_factory=lambda: ["source", "target", "count"])
    """What the columns of ``table`` hold: source, target, count, probability, log_probability.
    Trans-Tokenization's export is source, target, log_probability, count."""

    def faults(self) -> Iterator[tuple[str, str]]:
        given = [name for name in ("links", "source", "target") if getattr(self, name)]
        if self.table is None and len(given) < 3:
            yield "links", "needs the files links, source and target, or a table instead"
        if self.table is not None and given:
            yield "table", f"is given beside {', '.join(given)}; give links or a table"
        unknown = [name for name in self.columns if name not in TABLE_COLUMNS]
        if unknown or not {"source", "target", "count"} <= set(self.columns):
            yield (
                "columns",
                f"must name source, target and count, and may name {', '.join(TABLE_COLUMNS[3:])}; "
                f"got {self.columns}",
            )

    def paths(self, language: str) -> dict[str, Path]:
        """Role (links, source, target, table) -> file of a language."""
        return {
            role: Path(value.replace("{lang}", language)).expanduser()
            for role in ("links", "source", "target", "table")
            if (value := getattr(self, role))
        }


@dataclass
class GoldAlignment(AlignmentConfig):
    """The links that come with the data, as in the embedded world: the ceiling."""

    name: str = "gold"
    max_pairs: int | None = None
    """Sentence pairs per language at most; ``null``: all."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("max_pairs", self.max_pairs, 1)


OPTIONS: dict[str, type[AlignmentConfig]] = {
    "ibm1": Ibm1Alignment,
    "eflomal": EflomalAlignment,
    "files": FilesAlignment,
    "gold": GoldAlignment,
}
