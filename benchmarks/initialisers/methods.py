"""Which initialisers are measured, with which options, against which loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from franken.declare import options
from franken.init_method import TokenMap
from franken.init_method.base import InitMethod
from initialisers import loops
from initialisers.world import World

_METHODS = options("init_method")
Product = tuple[int, int, int, int]
"""Queries, anchors, width, repetitions of a matrix product."""


@dataclass(frozen=True)
class Case:
    """One initialiser."""

    config: InitMethod
    make: Callable[[World, TokenMap, Any], loops.Make] | None = None
    """Row by row; ``None`` where its loop is not over rows."""
    rest: Callable[[World, TokenMap, Any, int], float] | None = None
    """Seconds of what is not done per row, from a sample of so many words."""
    rows: Callable[[World, TokenMap], list[int]] = loops.computed_rows
    """Rows that the loop could make."""
    products: Callable[[World, TokenMap], list[Product]] = field(default=lambda world, map: [])
    """Matrix products that the method cannot do without."""
    most: float = 1.0
    """Largest share of the target's own rows that is fitted; the rest is scaled."""


def _by_source(world: World, token_map: TokenMap) -> list[Product]:
    name = "wechsel" if "wechsel" in token_map.notes else "ofa"
    anchors = token_map.notes[name]["source_pieces_with_vector"]
    queries = int((token_map.provenance == 2).sum())
    return [(queries, anchors, world.sizes.vector_dim, 1)]


def _by_anchors(name: str) -> Callable[[World, TokenMap], list[Product]]:
    def products(world: World, token_map: TokenMap) -> list[Product]:
        queries = int((token_map.provenance == 2).sum())
        return [(queries, token_map.notes[name]["anchors"], world.sizes.vector_dim, 1)]

    return products


def _unibridge(world: World, token_map: TokenMap) -> list[Product]:
    """To the source and, for distinct answers, back; then what is no copy."""
    notes, width = token_map.notes["unibridge"], world.sizes.vector_dim
    opened = int((token_map.provenance == 2).sum())
    return [
        (opened, len(world.source_bytes), width, 1),
        (notes["semantic_copies"], opened, width, 1),
        (opened - notes["semantic_copies"], notes.get("anchors", 1), width, 1),
    ]


def _helper(width: str, repeats: int = 1) -> Callable[[World, TokenMap], list[Product]]:
    def products(world: World, token_map: TokenMap) -> list[Product]:
        queries = int((token_map.provenance == 2).sum())
        anchors = token_map.notes["anchors"]["anchors"]
        return [(queries, anchors, getattr(world.sizes, width), repeats)]

    return products


def _vocadt(world: World, token_map: TokenMap) -> list[Product]:
    """The start of each computed row against every source row that stands for text."""
    queries = int((token_map.provenance == 2).sum())
    return [(queries, int(token_map.exemplars.sum()), world.sizes.hidden, 1)]


CASES: dict[str, Case] = {
    **{
        name: Case(_METHODS[name]())  # nothing is fitted per row, so there is no loop
        for name in ("copy_only", "mean", "random_normal", "multivariate")
    },
    "subtoken_mean": Case(_METHODS["subtoken_mean"](), loops.subtoken_mean),
    "subtoken_max": Case(_METHODS["subtoken_max"](), loops.subtoken_max),
    "weighted_pooling": Case(_METHODS["weighted_pooling"]()),
    "lexicon": Case(_METHODS["lexicon"](), loops.lexicon, rows=loops.lexicon_rows),
    "trans_tokenization": Case(
        _METHODS["trans_tokenization"](), rest=loops.trans_tokenization_rest
    ),
    "trans_tokenization_parity": Case(_METHODS["trans_tokenization_parity"]()),
    "ramen": Case(_METHODS["ramen"](), rest=loops.ramen_rest),
    "ramen_vectors": Case(
        _METHODS["ramen"](parallel=False), loops.ramen_vectors, loops.ramen_vectors_rest,
        products=_by_anchors("ramen"),
    ),
    "wechsel": Case(_METHODS["wechsel"](), loops.wechsel, products=_by_source),
    "focus": Case(_METHODS["focus"](), loops.focus, products=_by_anchors("focus")),
    "ofa": Case(_METHODS["ofa"](), loops.ofa, loops.ofa_rest, products=_by_source),
    "unibridge": Case(_METHODS["unibridge"](), loops.unibridge, products=_unibridge),
    "salt": Case(_METHODS["salt"](), loops.salt, products=_helper("vector_dim")),
    "clp": Case(_METHODS["clp"](), products=_helper("helper_dim")),
    "clp_plus": Case(_METHODS["clp_plus"](), loops.clp_plus, products=_helper("helper_dim")),
    "local_least_squares": Case(
        _METHODS["local_least_squares"](), loops.local_least_squares,
        products=_helper("helper_dim"),
    ),
    "omp": Case(
        _METHODS["omp"](), loops.omp, products=_helper("helper_dim", _METHODS["omp"]().k), most=0.02
    ),
    "unks_everywhere": Case(
        _METHODS["unks_everywhere"](), loops.unks_everywhere, rows=loops.fallback_rows
    ),
    "embedding_structure": Case(_METHODS["embedding_structure"](), loops.embedding_structure),
    "vocadt": Case(_METHODS["vocadt"](), products=_vocadt, most=0.02),
}  # fmt: skip
"""Of ``vocadt`` the start alone, before its weights are trained.

Not here: ``merge`` (the synthetic target is Unigram and has no merges), ``span_align`` and the
training of ``vocadt``, ``token_distillation`` and ``retok`` (the world has no running text),
``from_file`` (reading a file), ``gold_alignment`` (``trans_tokenization`` on other links).
"""
