"""SALT: a linear map per token, from the rows of a target-language model to the source's.

Lee et al. 2025 (arXiv 2505.10945). Shared tokens are copied. For another token, auxiliary vectors
choose a few shared tokens near it (sparsemax, which only selects), and least squares from their
helper rows to their source rows map the token's helper row (Eq. 3). Every reading that the paper
leaves open is an option; ``docs/salt.md`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NamedTuple

from franken.config.checks import at_least, members_by_name
from franken.declare import option
from franken.errors import CompatibilityError, DataError
from franken.init_method.common.helper import HelperInit
from franken.lazy import later
from franken.token_map.options import AnchorOptions, Overlap, Rescale, Solver

with later():
    import numpy as np
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.anchors import Coordinates, HelperSpace, check_helper, put_by_helper
    from franken.token_map.builder import MapBuilder
    from franken.token_map.matching_pursuit import pursue
    from franken.token_map.neighbours import Neighbours, top_neighbours
    from franken.token_map.overlap import share_by
    from franken.token_map.projection import (
        Support,
        dense_weights,
        orthogonal_weights,
        projection_weights,
    )
    from franken.token_map.resources import InitResources
    from franken.token_map.row_norms import finish_norms
    from franken.token_map.sparsemax import sparsemax_neighbours
    from franken.token_map.token_map import TokenMap
    from franken.token_map.token_vectors import piece_space_vectors
    from franken.tokenizer.pieces import text_of


class AuxKind(StrEnum):
    """Where the vectors come from that choose the neighbours."""

    word_vectors = "word_vectors"
    """Static vectors of words, one space per target language."""
    piece_vectors = "piece_vectors"
    """Static vectors of the target tokenizer's pieces."""
    helper = "helper"
    """The rows of the helper itself."""


class Surface(StrEnum):
    """Which string of a token is looked up among word vectors."""

    decode_strip = "decode_strip"
    """Its text, without the space around it."""
    native = "native"
    """As the vocabulary file spells it (``▁nyumba``); what is no word gets its n-grams' vector."""


class SelectorKind(StrEnum):
    """How the neighbours of a token are chosen."""

    sparsemax = "sparsemax"
    """The support of the sparsemax over the cosines: its size differs per token."""
    topk = "topk"
    omp = "omp"
    """Greedily in the space of the helper (orthogonal matching pursuit)."""
    all = "all"
    """Every anchor: one linear map for all tokens. Dense, so refused past 2**25 weights."""


class Weighting(StrEnum):
    """Whether near neighbours weigh more in the fit."""

    none = "none"
    sparsemax = "sparsemax"


@members_by_name
@dataclass
class Selector:
    """How the neighbours of a token are chosen."""

    kind: SelectorKind = SelectorKind.sparsemax
    temperature: float = 1.0
    """Divides the cosines before the sparsemax; smaller is sparser."""
    k: int = 64
    """Number of neighbours for topk and omp."""
    max_k: int | None = None
    """For sparsemax: at most so many, the heaviest; null: all, as published."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("temperature", self.temperature, 1e-6)
        yield from at_least("k", self.k, 1)
        yield from at_least("max_k", self.max_k, 1)
        if self.max_k is not None and self.kind is not SelectorKind.sparsemax:
            yield "max_k", f"is for kind=sparsemax; kind={self.kind} has k"


@dataclass
class SaltAnchors(AnchorOptions):
    """Which shared tokens may take part, with SALT's readings."""

    drop_no_aux: bool = True
    """Shared tokens without an auxiliary vector are no anchors; kept, they count as unrelated to
    every token (cosine 0), which is nearer than those that point away."""


class Mapping(StrEnum):
    """What takes helper rows to source rows."""

    linear = "linear"
    """Any matrix: least squares."""
    orthogonal = "orthogonal"
    """A rotation and one scale (Procrustes), for ``selector.kind: all``: a control that cannot fit
    the anchors at will."""


@members_by_name
@dataclass
class SaltSolver(Solver):
    """Least squares over the chosen anchors, with SALT's readings."""

    mapping: Mapping = Mapping.linear

    weighting: Weighting = Weighting.none
    """Rows of the regression weighted by the sparsemax; changes something only where a token has
    more neighbours than the helper has dimensions, or with a ridge."""


@option
class SaltInit(HelperInit):
    """A linear map per token, from the rows of a target-language model to the source's, fitted
    on near shared tokens (SALT).
    """

    paper: ClassVar[str] = "Lee et al. 2025, arXiv 2505.10945"
    version: ClassVar[int] = 2

    aux: AuxKind = AuxKind.word_vectors
    surface: Surface = Surface.decode_strip
    anchors: SaltAnchors = field(default_factory=SaltAnchors)
    overlap: Overlap = field(default_factory=Overlap)
    selector: Selector = field(default_factory=Selector)
    solver: SaltSolver = field(default_factory=SaltSolver)
    rescale: Rescale = Rescale.none

    def needs(self) -> frozenset[str]:
        steps = {AuxKind.word_vectors: "word_vectors", AuxKind.piece_vectors: "piece_vectors"}
        if self.selector.kind in (SelectorKind.omp, SelectorKind.all):
            return frozenset({"helper"})
        return frozenset({"helper", *(need for kind, need in steps.items() if kind == self.aux)})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if self.solver.weighting is Weighting.sparsemax:
            if self.selector.kind is not SelectorKind.sparsemax:
                yield "solver.weighting", "sparsemax needs selector.kind=sparsemax"
            if self.solver.center:
                yield "solver.weighting", "sparsemax and solver.center exclude each other"
        if self.solver.mapping is Mapping.orthogonal:
            if self.selector.kind is not SelectorKind.all:
                yield (
                    "solver.mapping",
                    "orthogonal is one map for all and needs selector.kind=all",
                )
            if self.solver.center or self.solver.ridge:
                yield "solver.mapping", "orthogonal has no use for solver.center and solver.ridge"
        if self.rescale is not Rescale.none and self.norm_match:
            yield "rescale", f"{self.rescale} and norm_match=true both set the norms; choose one"

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map.

        Raises:
            DataError: without a helper or auxiliary vectors.
            CompatibilityError: where the helper has another vocabulary, or no shared token has
                vectors.
        """
        builder = MapBuilder(source, target, self, seed, resources.device)
        helper = check_helper(builder, resources)
        share_by(builder, self.overlap)
        spaces = _spaces(builder, helper, resources)
        put_by_helper(builder, helper, lambda space: _weigh(space, spaces, builder, self))
        token_map = builder.build_with_fallback(self.fallback)
        return finish_norms(token_map, source.input, self.rescale)


class Space(NamedTuple):
    """Auxiliary vectors of the target tokens."""

    vectors: Tensor
    """``(T, d)``."""
    known: np.ndarray
    """``(T,)`` bool: whether there is one."""
    preferred: np.ndarray
    """``(T,)`` bool: tokens that this space may choose neighbours for."""


def _weigh(
    space: HelperSpace, spaces: list[Space], builder: MapBuilder, config: SaltInit
) -> Coordinates:
    solver = config.solver
    if config.selector.kind is SelectorKind.all:
        if solver.mapping is Mapping.orthogonal:
            among = builder.source.input[torch.from_numpy(space.columns)]
            weights = orthogonal_weights(
                space.token_rows, space.anchor_rows, among, rcond=solver.rcond
            )
        else:
            weights = dense_weights(
                space.token_rows,
                space.anchor_rows,
                rcond=solver.rcond,
                ridge=solver.ridge,
                center=solver.center,
            )
        rows, anchors = np.indices(weights.shape).reshape(2, -1)
        return rows, anchors, weights.reshape(-1)
    if config.selector.kind is SelectorKind.omp:
        support = pursue(space.token_rows, space.anchor_rows, config.selector.k)
        importance = None
    else:
        near = _near(space, spaces, builder, config)
        support = Support.of_neighbours(near, len(space.tokens))
        importance = near.weights if solver.weighting is Weighting.sparsemax else None
    weights = projection_weights(
        space.token_rows,
        space.anchor_rows,
        support,
        rcond=solver.rcond,
        ridge=solver.ridge,
        center=solver.center,
        importance=importance,
    )
    return support.rows, support.columns, weights


def _near(
    space: HelperSpace, spaces: list[Space], builder: MapBuilder, config: SaltInit
) -> Neighbours:
    """Shared tokens near each token, every token in the first space that has a vector of it.

    Spaces of several languages have nothing to do with each other, so a token is compared with
    those shared tokens that its own space has.
    """
    found, left, notes = [], np.ones(len(space.tokens), dtype=bool), []
    for vectors, known, preferred in spaces:
        mine = np.flatnonzero(left & preferred[space.tokens])
        usable = known[space.anchors] if config.anchors.drop_no_aux else space.anchors >= 0
        anchors = np.flatnonzero(usable)
        notes.append({"tokens": len(mine), "anchors": len(anchors)})
        if not len(mine) or not len(anchors):
            continue
        left[mine] = False
        queries = vectors[torch.from_numpy(space.tokens[mine])]
        among = vectors[torch.from_numpy(space.anchors[anchors])]
        near = _select(queries, among.to(builder.device), config)
        found.append((mine[near.rows], anchors[near.columns], near.weights))
    builder.notes["aux"] = {"spaces": notes, "without_vector": int(left.sum())}
    if not any(note["anchors"] for note in notes):
        raise CompatibilityError(
            f"init_method=salt has no anchors: none of {len(space.anchors)} shared tokens has an "
            f"auxiliary vector (aux={config.aux}). Give vectors that cover the shared pieces, "
            "compare pieces by their bytes (overlap.mode=bytes), or take aux=helper"
        )
    if not found:
        return Neighbours(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    rows, columns, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    return Neighbours(rows[order], columns[order], weights[order])


def _select(queries: Tensor, anchors: Tensor, config: SaltInit) -> Neighbours:
    if config.selector.kind is SelectorKind.sparsemax:
        near = sparsemax_neighbours(queries, anchors, temperature=config.selector.temperature)
        return heaviest(near, config.selector.max_k)
    columns, scores = top_neighbours(queries, anchors, config.selector.k)
    rows = np.repeat(np.arange(len(queries)), columns.shape[1])
    return Neighbours(rows, columns.numpy().reshape(-1), scores.double().numpy().reshape(-1))


def heaviest(found: Neighbours, most: int | None) -> Neighbours:
    """The first ``most`` neighbours of each query, which come by falling weight."""
    if most is None or not len(found.rows):
        return found
    starts = np.flatnonzero(np.r_[True, found.rows[1:] != found.rows[:-1]])
    place = np.arange(len(found.rows)) - np.repeat(starts, np.diff(np.r_[starts, len(found.rows)]))
    kept = place < most
    return Neighbours(found.rows[kept], found.columns[kept], found.weights[kept])


def _spaces(builder: MapBuilder, helper: Table, resources: InitResources) -> list[Space]:
    """Auxiliary vectors of the target tokens, the preferred space first."""
    config = builder.config
    assert isinstance(config, SaltInit)
    if config.selector.kind in (SelectorKind.omp, SelectorKind.all):
        return []
    if config.aux is AuxKind.helper:
        rows = helper.input[: len(builder.target_bytes)].float()
        known = (rows != 0).any(1).numpy()
        return [Space(rows, known, known)]
    if config.aux is AuxKind.piece_vectors:
        found = resources.require("piece_vectors", "salt")
        vectors, has_vector = piece_space_vectors(
            found, "target", builder.target, "salt", ngrams=True
        )
        return [Space(vectors, has_vector.numpy(), has_vector.numpy())]
    return _word_spaces(builder, resources)


def _word_spaces(builder: MapBuilder, resources: InitResources) -> list[Space]:
    """Vectors of the decoded, stripped pieces, as words of each target language.

    Words that a language lists come before words that another can only put together from n-grams.
    """
    vectors = resources.require("word_vectors", "salt")
    assert isinstance(builder.config, SaltInit)
    surfaces = [(text_of(data) or "").strip() for data in builder.target_bytes]
    if builder.config.surface is Surface.native:
        names = {index: name for name, index in builder.target.get_vocab().items()}
        surfaces = [text and names[row] for row, text in enumerate(surfaces)]
    has_text = np.array([bool(surface) for surface in surfaces])
    languages = [code for code in resources.languages if code in vectors]
    if not languages:
        raise DataError(
            f"init_method=salt needs word vectors of {' or '.join(resources.languages)}; there are "
            f"some of {', '.join(vectors)}"
        )
    listed, composed = [], []
    for language in languages:
        found, known = vectors[language].lookup(surfaces)
        _, is_listed = vectors[language].lookup(surfaces, ngrams=False)
        usable = known.numpy() & has_text
        listed.append(Space(found, usable, is_listed.numpy() & has_text))
        composed.append(Space(found, usable, usable))
    return listed + composed
