"""Put pieces into a pipeline: ids, merges, fillers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.errors import ConfigError
from franken.tokenizer.assembly import build
from franken.tokenizer.pipeline import Pipeline

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Merge = tuple[str, str]


def compose(
    pipeline: Pipeline,
    pieces: Sequence[str],
    merges: Sequence[Merge],
    scores: Mapping[str, float],
    *,
    reserved: Mapping[int, str] | None = None,
    size: int | None = None,
) -> "PreTrainedTokenizerFast":
    """A tokenizer with the rules of ``pipeline`` and other pieces.

    Args:
        pipeline: Gives everything but the pieces.
        pieces: New content in the order of its ids, which are the ids that ``reserved`` leaves.
        merges: BPE merges, best first; those whose parts or result are missing are dropped.
        scores: Unigram log probabilities of ``pieces``; a reserved piece keeps its own.
        reserved: Id -> piece of what stays where it is; by default the pipeline's own.
        size: Exact number of tokens: left-over ids are filled with ``<unusedN>``. As many as there
            are pieces when null.

    Raises:
        ConfigError: If the pieces do not fit into ``size``.
    """
    reserved = dict(pipeline.reserved() if reserved is None else reserved)
    if size is None:
        size = len(reserved) + len(pieces)
    if len(reserved) + len(pieces) > size:
        raise ConfigError(
            f"vocab.size: {size} tokens cannot hold {len(reserved)} reserved and {len(pieces)} "
            "other pieces; raise vocab.size or keep fewer pieces"
        )
    reserved = pull_in(reserved, size)
    ids = {piece: index for index, piece in reserved.items()}
    free = (index for index in range(size) if index not in reserved)
    ids |= dict(zip(pieces, free, strict=False))
    fillers = dict(zip(unused_names(ids), free, strict=False))
    ids |= fillers
    return build(
        replace(
            pipeline,
            pieces=dict(sorted(ids.items(), key=lambda item: item[1])),
            merges=_usable(merges, ids),
            scores=_scores(pipeline, ids, scores),
            added=[*pipeline.added, *(special_token(name) for name in fillers)],
            spec=_with_unk_id(pipeline, ids),
        )
    )


def pull_in(reserved: Mapping[int, str], size: int) -> dict[int, str]:
    """Keep reserved ids below ``size``; those beyond move, in order, to the highest free ids."""
    inside = {index: piece for index, piece in reserved.items() if index < size}
    beyond = [reserved[index] for index in sorted(reserved, reverse=True) if index >= size]
    free = (index for index in range(size - 1, -1, -1) if index not in inside)
    return inside | dict(zip(free, beyond, strict=False))


def special_token(content: str) -> dict[str, Any]:
    """A control token in ``tokenizer.json`` form; its id is filled in later."""
    return {
        "id": 0,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def unused_names(taken: Iterable[str]) -> Iterable[str]:
    """``<unused0>``, ``<unused1>``, ... without those that exist."""
    known, number = set(taken), 0
    while True:
        if (name := f"<unused{number}>") not in known:
            yield name
        number += 1


def all_splits(pieces: Iterable[str], known: Mapping[str, Any] | set[str]) -> list[Merge]:
    """Every way to make each piece from two known ones, in the order of ``pieces``.

    SentencePiece joins two symbols whenever the result is a piece; a list of merges behaves the
    same only when it holds all pairs (as ``generate_merges`` of transformers, whose order within
    one piece, by the length of the left part, is kept).
    """
    return [
        (piece[:cut], piece[cut:])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]


def replay(piece: str, ranks: Mapping[Merge, int], stop: int = 1) -> tuple[list[str], set[str]]:
    """Apply BPE merges to the characters of one piece.

    Args:
        piece: of the vocabulary, or any word in the pieces' alphabet.
        ranks: of the merges, the best first.
        stop: so many symbols are left as they are; 2 gives what the last merge takes.

    Returns:
        The symbols at the end and every symbol that existed on the way, characters included.
    """
    symbols = list(piece)
    seen = set(symbols)
    worst = len(ranks)
    rank_of = ranks.get
    found = [rank_of(pair, worst) for pair in pairwise(symbols)]
    while len(symbols) > stop and (best := min(found)) < worst:
        at = found.index(best)
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        seen.add(symbols[at])
        del found[at]
        if at:
            found[at - 1] = rank_of((symbols[at - 1], symbols[at]), worst)
        if at < len(found):
            found[at] = rank_of((symbols[at], symbols[at + 1]), worst)
    return symbols, seen


def _usable(merges: Iterable[Merge], ids: Mapping[str, int]) -> list[Merge]:
    """Merges of known pieces to known pieces, each at its best rank (a repeat would lower it)."""
    known = (m for m in merges if m[0] in ids and m[1] in ids and m[0] + m[1] in ids)
    return list(dict.fromkeys(known))


def _scores(
    pipeline: Pipeline, ids: Mapping[str, int], scores: Mapping[str, float]
) -> dict[str, float]:
    if pipeline.kind is not TokenizerKind.sentencepiece_unigram:
        return {}
    floor = min([*scores.values(), *pipeline.scores.values()], default=0.0)
    return {piece: scores.get(piece, pipeline.scores.get(piece, floor)) for piece in ids}


def _with_unk_id(pipeline: Pipeline, ids: Mapping[str, int]) -> dict[str, Any]:
    """The pipeline's rules, with the unknown token of a Unigram model at its (new) id."""
    if pipeline.kind is not TokenizerKind.sentencepiece_unigram or pipeline.unk is None:
        return pipeline.spec
    return {**pipeline.spec, "model": {**pipeline.spec["model"], "unk_id": ids[pipeline.unk]}}
