"""Means over the merge tree of a BPE target, down to pieces that the source has.

Merge of the 0.01 GB study (Yamaguchi et al. 2024, arXiv 2406.11477): ``row(ab) = (row(a) +
row(b)) / 2``, and the mean over the alternatives where several merges make one piece; a piece of
the source is a leaf. Pieces that no merge makes (letters, bytes) are leaves too: the mean of their
source tokens, mostly bytes. The head takes head rows throughout (the release's recursion calls its
input routine for nested merges).
"""

from __future__ import annotations

from typing import ClassVar

from franken.declare import option
from franken.errors import CompatibilityError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.tokenizer.pipeline import Pipeline, pipeline_of

Mix = dict[int, float]

"""Source row -> weight."""


@option
class MergeInit(InitMethod):
    """Mean over the BPE merge tree down to shared pieces; BPE targets only."""

    paper: ClassVar[str] = "Yamaguchi et al. 2024, arXiv 2406.11477"

    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that no merge makes."""

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used.

        Raises:
            CompatibilityError: where the target is not BPE.
        """
        pipeline = pipeline_of(target)
        if not pipeline.is_bpe:
            raise CompatibilityError(
                "init_method=merge follows BPE merges, and the target tokenizer is "
                f"{pipeline.spec['model']['type']}, which has none; choose a BPE vocabulary "
                "(vocab.kind), or init_method=subtoken_mean"
            )
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        pool_merges(builder, pipeline)
        return builder.build_with_fallback(self.fallback)


def pool_merges(builder: MapBuilder, pipeline: Pipeline) -> None:
    """Decide every undecided piece that a merge makes; those without any source token stay."""
    undecided = set(builder.undecided())
    mixes = merge_mixes(builder, pipeline)
    depth = [len(mixes[row]) for row in undecided if row in mixes]
    for row in sorted(undecided & set(mixes)):
        builder.put(row, list(mixes[row]), list(mixes[row].values()))
    builder.notes["merge"] = {
        "merges": len(pipeline.merges),
        "rows": len(depth),
        "mean_source_rows": sum(depth) / max(len(depth), 1),
    }


def merge_mixes(builder: MapBuilder, pipeline: Pipeline) -> dict[int, Mix]:
    """Target id -> weights, for every piece that a merge makes; they sum to 1."""
    pieces = pipeline.pieces
    parents: dict[int, list[tuple[int, int]]] = {}
    for left, right in pipeline.merges:
        whole = pieces.get(left + right)
        if whole is not None and left in pieces and right in pieces:
            parents.setdefault(whole, []).append((pieces[left], pieces[right]))
    leaves = _leaves(builder, parents)
    # Parts are shorter than the whole in letters, so this order meets them first.
    length = {index: len(piece) for piece, index in pieces.items()}
    made: dict[int, Mix] = {}
    for whole in sorted(parents, key=length.__getitem__):
        alternatives = []
        for pair in parents[whole]:
            halves = [leaves.get(part) or made.get(part) for part in pair]
            known = [half for half in halves if half]
            if known:
                alternatives.append(_mean(known))
        if alternatives:
            made[whole] = _mean(alternatives)
    return made


def _leaves(builder: MapBuilder, parents: dict[int, list[tuple[int, int]]]) -> dict[int, Mix]:
    """Pieces at which the tree ends: shared with the source, or made by no merge."""
    used = sorted({part for pairs in parents.values() for pair in pairs for part in pair})
    leaves: dict[int, Mix] = {
        row: {builder.overlap[row]: 1.0} for row in used if row in builder.overlap
    }
    rest = [row for row in used if row not in leaves and row not in parents]
    texts = [builder.target_bytes[row] or b"" for row in rest]
    for row, ids in zip(rest, builder.encode(texts), strict=True):
        if ids:
            leaves[row] = _mean([{index: 1.0} for index in ids])
    return leaves


def _mean(mixes: list[Mix]) -> Mix:
    """Mean of mixes; in parts that know no source token, the others stand for the whole."""
    total: Mix = {}
    for mix in mixes:
        for index, weight in mix.items():
            total[index] = total.get(index, 0.0) + weight / len(mixes)
    return total
