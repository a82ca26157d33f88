"""What every initialiser has; the call that runs one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from franken.config.checks import checked, hint
from franken.declare import find, options
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.token_map.options import Fallback, FitOptions

with later():
    from dataclasses import asdict
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.garbage import without_collection
    from franken.parts.row_report import warn_of_odd_rows
    from franken.parts.table import Table, check_table
    from franken.parts.table_rows import open_rows
    from franken.token_map.builder import MapBuilder
    from franken.token_map.engine import apply_map, apply_to_bias
    from franken.token_map.report import provenance_report
    from franken.token_map.resources import InitResources
    from franken.token_map.source_statistics import statistics_once
    from franken.token_map.token_map import TokenMap
    from franken.tokenizer.pipeline import reading_once

if TYPE_CHECKING:
    from franken.training.learners import LearnedRows, LearnTask


@dataclass
class InitMethod(FitOptions):
    """What every initialiser has: options, what they need, and the fit."""

    paper: ClassVar[str] = ""
    """Where the method comes from."""
    learned: ClassVar[bool] = False
    """Whether rows are trained after the map was applied."""
    map_says_all: ClassVar[bool] = True
    """Whether the token map alone makes the rows; false where the method has rows of its own."""
    version: ClassVar[int] = 1
    """Code version of the method: raised when a change of its code changes rows, so that keys of
    its ``initialise`` steps change and those of the others do not."""

    came_later: ClassVar[tuple[str, ...]] = ()
    """Options that are in no key while they are at their default: steps from before them stay."""

    def needs(self) -> frozenset[str]:
        """What these options ask for: side resources (the files of ``franken/side_resource``, each
        a step that the recipe then runs) and roles of the data (``lexicon``, ``monolingual``).
        """
        return frozenset()

    def paths(self) -> dict[str, str]:
        """Field -> file or directory that these options read: its content is in the step's key."""
        return {}

    def head_of_its_own(self) -> bool:
        """Whether a tied source gets an output table, whose old rows are those of the input."""
        return False

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Fit the map.

        Args:
            source: the old table.
            target: tokenizer of the new one.
            resources: what :meth:`needs` asks for.
            seed: of all draws.
        """
        raise NotImplementedError(f"{type(self).__name__} is no method of its own")

    def given_rows(
        self, token_map: TokenMap, target: PreTrainedTokenizerBase, part: str
    ) -> Tensor | None:
        """``(n, D)`` rows for ids of provenance ``given``; ``None`` where this part has none."""
        return None

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor | None:
        """``(T, D)`` rows of a part instead of ``W @ rows``; ``None``: the plain product."""
        return None

    def save_beside(self, token_map: TokenMap, source: Table, directory: Path) -> None:
        """Write further files of an initialisation."""

    def learn(self, task: LearnTask) -> LearnedRows:
        """Train what the map made; of methods that are ``learned``."""
        raise NotImplementedError(f"init_method={self.name} has nothing to train")


@dataclass
class OverlapInit(InitMethod):
    """What methods have that look into no piece: one rule makes all rows but the shared ones."""

    rule: ClassVar[Fallback] = Fallback.mean
    """How rows are made."""

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Copy the overlap, unless ``copy_overlap`` is off; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        return builder.build(self.rule)


@dataclass
class LearnedInit(InitMethod):
    """What the learned initialisers share: a start map, and a short training on target text."""

    learned: ClassVar[bool] = True

    start: str = "subtoken_mean"
    """The init_method, with its default options, whose map is the start."""

    def start_options(self) -> InitMethod:
        """Options of the start map."""
        start: InitMethod = find("init_method", self.start)()
        start.copy_overlap &= self.copy_overlap
        start.noise_std, start.norm_match = self.noise_std, self.norm_match
        return start

    def needs(self) -> frozenset[str]:
        start = self.start_options().needs() if self.start in _starts() else frozenset()
        return start | {"monolingual"}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if self.start not in _starts():
            yield "start", f"no map can start from {self.start!r}.{hint(self.start, _starts())}"

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Fit the map of ``start``, under the name of this method."""
        token_map = self.start_options().fit(source, target, resources, seed)
        own: dict[str, Any] = {"method": self.name, "options": asdict(self), "start": self.start}
        token_map.notes = {**token_map.notes, **own}
        return token_map


def _starts() -> list[str]:
    """Methods that train, whose rows are more than a map, or that must name files are no start."""
    return [
        name
        for name, method in options("init_method").items()
        if not method.learned and method.map_says_all and not method().paths()
    ]


def fit_map(
    source: Table,
    target_tokenizer: PreTrainedTokenizerBase,
    method: InitMethod,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map of a method, and check it.

    Raises:
        ConfigError: where options are out of range; names all of them.
    """
    checked(method, f"init_method={method.name}")
    with reading_once(), without_collection():
        token_map = method.fit(source, target_tokenizer, resources, seed)
    token_map.validate()
    return token_map


def matrices_of(method: InitMethod, old: Collection[str]) -> dict[str, str]:
    """Matrices of the new table -> the old matrix whose rows each is made of.

    Args:
        method: may give a tied source an output table of its own.
        old: parts of the source.
    """
    if "output" in old:
        return {"input": "input", "output": "output"}
    return {"input": "input", **({"output": "input"} if method.head_of_its_own() else {})}


def initialise(
    source: Table,
    target_tokenizer: PreTrainedTokenizerBase,
    method: InitMethod,
    resources: InitResources,
    seed: int,
) -> tuple[Table, TokenMap]:
    """Make the first rows of a table for a new tokenizer.

    One map makes input embeddings, output embeddings (where they are not tied) and head bias.

    Args:
        source: the old table.
        target_tokenizer: tokenizer of the new one.
        method: the options of a method.
        resources: lexicons and the like.
        seed: seed of all draws; equal seeds give equal bytes.

    Returns:
        The table, rows = highest token id + 1, in the dtype of ``source``, whose ``provenance`` is
        the report; and the map.

    Raises:
        CompatibilityError: where the source holds NaN, or the vocabularies cannot be joined.
        DataError: where the method lacks a resource.
    """
    with reading_once(), statistics_once(), without_collection():
        return _initialise(source, target_tokenizer, method, resources, seed)


def _initialise(
    source: Table,
    target_tokenizer: PreTrainedTokenizerBase,
    method: InitMethod,
    resources: InitResources,
    seed: int,
) -> tuple[Table, TokenMap]:
    check_table(source)
    token_map = fit_map(source, target_tokenizer, method, resources, seed)

    def rows(part: str, old: Tensor) -> Tensor:
        own = method.own_rows(token_map, source, part)
        if own is not None:
            return own
        given = method.given_rows(token_map, target_tokenizer, part)
        return apply_map(token_map, old, part=part, given=given, device=resources.device)

    old = source.matrices()
    new = {part: rows(part, old[origin]) for part, origin in matrices_of(method, old).items()}
    bias: Tensor | None = None
    if source.output_bias is not None:
        given = method.given_rows(token_map, target_tokenizer, "bias")
        bias = apply_to_bias(token_map, source.output_bias, given=given)
    report = {"seed": seed, **provenance_report(token_map, new["input"])}
    table = Table(target_tokenizer, new["input"], new.get("output"), bias, source.lineage, report)
    try:
        made = open_rows(table)  # which checks it
    except CompatibilityError as error:
        raise CompatibilityError(
            f"init_method={method.name} made no usable table: {error}"
        ) from error
    warn_of_odd_rows(made, f"init_method={method.name}")
    return table, token_map
