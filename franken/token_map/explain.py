"""Where the row of a token came from, in words: ``▁nyumba <- 0.71 ▁house, 0.29 ▁home``."""

import difflib
import math
from typing import Any

import torch

from franken.errors import DataError
from franken.token_map.options import Fallback
from franken.token_map.token_map import Provenance, Reduce, TokenMap

_TOP = 8
_RULES = {
    Fallback.mean: "the mean source row",
    Fallback.normal: "a draw from N(mean, std per dimension) of the source rows",
    Fallback.normal_scalar: "a draw from N(mean, one std) of the source rows",
    Fallback.multivariate: "a draw from N(mean, scale * covariance) of the source rows",
    Fallback.subtoken_mean: "the mean source row (no subtoken of the source fits)",
}

_HEADS = {
    "global_map": "; output embeddings: the new input row times one linear map for all",
    "random": "; output embeddings: a draw from N(mean, std per dimension) of the source's",
}


def explain(token_map: TokenMap, piece: str) -> list[dict[str, Any]]:
    """Explain every token that a piece may mean: with a leading space and without.

    Args:
        token_map: as fitted or loaded.
        piece: as shown (``▁nyumba``), with a space (``" nyumba"``), or the bare word.

    Raises:
        DataError: where the target vocabulary has no such piece; names the nearest ones.
    """
    found = find_rows(token_map, piece)
    if not found:
        labels = [label for label in token_map.labels.target if label]
        near = difflib.get_close_matches(shown(piece), labels, n=5, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise DataError(
            f"{piece!r} is no piece of the target vocabulary ({token_map.rows} rows){hint}. Ask "
            "for a single piece, as the tokenizer splits it"
        )
    return [explain_row(token_map, row) for row in found]


def find_rows(token_map: TokenMap, piece: str) -> list[int]:
    """Ids whose label is the piece; the bare word also finds its word-initial form (first)."""
    wanted = [shown(piece)] if piece[:1] in (" ", "▁") else [f"▁{piece}", piece]
    labels = token_map.labels.target
    return [row for form in wanted for row, label in enumerate(labels) if label == form]


def explain_row(
    token_map: TokenMap, row: int, *, top: int = _TOP, part: str = "input"
) -> dict[str, Any]:
    """One row as plain JSON.

    Returns:
        id, piece, provenance, ``how`` in words, ``sources`` (the ``top`` heaviest, with id, piece
        and weight), ``source_count``, and ``effective_sources``: exp of the weights' entropy;
        ``output_sources`` too where the output embeddings have weights of their own.
    """
    entries = token_map.row(row, part)
    found = {
        "id": row,
        "piece": _label(token_map.labels.target, row),
        "provenance": Provenance(int(token_map.provenance[row])).name,
        "how": _how(token_map, row, bool(entries)),
        "sources": _sources(token_map, entries[:top]),
        "source_count": len(entries),
        "effective_sources": _effective([weight for _, weight in entries]),
    }
    output = token_map.row(row, "output")
    if part == "input" and output != entries:
        found["output_sources"] = _sources(token_map, output[:top])
    return found


def phrase(token_map: TokenMap, row: int, *, top: int = 4, part: str = "input") -> str:
    """One row on one line."""
    found = explain_row(token_map, row, top=top, part=part)
    if not found["sources"]:
        return f"{found['piece']} <- {found['how']}"
    shares = [f"{item['weight']:.2f} {item['piece']}" for item in found["sources"]]
    rest = found["source_count"] - len(shares)
    return f"{found['piece']} <- {', '.join(shares)}" + (f" and {rest} more" if rest else "")


def worst_rows(token_map: TokenMap, count: int) -> list[int]:
    """Ids of the least supported rows.

    First those without any weight, then those that a fallback gave weights, then computed ones by
    how many source rows they are spread over. Copies and padding are never among them.
    """
    sizes, provenance = token_map.sizes(), token_map.provenance
    considered = (~token_map.copies() & (provenance != int(Provenance.padding))).nonzero().flatten()
    spread = _spread(token_map)[considered]
    rank = torch.where(
        sizes[considered] == 0,
        0,
        torch.where(provenance[considered] == int(Provenance.fallback), 1, 2),
    )
    keys = zip(rank.tolist(), (-spread).tolist(), considered.tolist(), strict=True)
    return [row for _, _, row in sorted(keys)[:count]]


def shown(piece: str) -> str:
    """A piece as the map's labels spell it."""
    return f"▁{piece[1:]}" if piece.startswith(" ") else piece


def _spread(token_map: TokenMap) -> torch.Tensor:
    """``(T,)`` effective number of sources of every row."""
    sizes = token_map.sizes()
    rows = torch.repeat_interleave(torch.arange(token_map.rows), sizes)
    shares = token_map.weights.abs().double()
    totals = torch.zeros(token_map.rows, dtype=torch.float64).index_add_(0, rows, shares)
    shares = shares / totals[rows].clamp_min(1e-300)
    terms = -torch.special.xlogy(shares, shares)
    entropy = torch.zeros(token_map.rows, dtype=torch.float64).index_add_(0, rows, terms)
    return entropy.exp() * (sizes > 0)


def _sources(token_map: TokenMap, entries: list[tuple[int, float]]) -> list[dict[str, Any]]:
    return [
        {"id": index, "piece": _label(token_map.labels.source, index), "weight": weight}
        for index, weight in entries
    ]


def _effective(weights: list[float]) -> float:
    total = sum(abs(weight) for weight in weights)
    if not total:
        return 0.0
    shares = [abs(weight) / total for weight in weights if weight]
    return math.exp(-sum(share * math.log(share) for share in shares))


def _how(token_map: TokenMap, row: int, weighted: bool) -> str:
    kind = Provenance(int(token_map.provenance[row]))
    method = token_map.notes.get("method", "the method")
    later = _trained_later(token_map, kind)
    if kind is Provenance.special:
        return f"control token: copied from the source's token of the same role or string{later}"
    if kind is Provenance.copied:
        return f"copied: the source has a piece of the same bytes{later}"
    if kind is Provenance.padding:
        return "no token has this id: the mean source row"
    if kind is Provenance.given:
        return f"a row of {token_map.notes.get('file', 'a file')}, made elsewhere"
    if not weighted and kind is Provenance.computed and token_map.classes is not None:
        index = int(token_map.classes.target[row])
        members = token_map.classes.sizes()[index]
        name = token_map.classes.names[index]
        return f"a draw from N(mean, std per dimension) of the {members:,} source rows of {name}"
    if not weighted:
        rule = _RULES[token_map.fallback.kind]
        noise = " plus noise" if token_map.noise_std else ""
        return f"nothing known by {method}: {rule}{noise}{later}"
    pooled = "elementwise maximum" if token_map.reduce is Reduce.max else "weighted sum"
    if kind is Provenance.fallback:
        lenders = token_map.notes.get("lenders", "its own subtokens in the source")
        return f"nothing known by {method}: {pooled} of {lenders}"
    head = _HEADS.get(token_map.notes.get("head", ""), "")
    return f"{pooled} of source rows, fitted by {method}{head}{later}"


def _trained_later(token_map: TokenMap, kind: Provenance) -> str:
    """What training did to a row after the map had made it; nothing where it trained the map."""
    what = token_map.notes.get("trained", {}).get("what")
    new = kind in (Provenance.computed, Provenance.fallback)
    return "; then trained" if what == "all rows" or (what == "new rows" and new) else ""


def _label(labels: list[str], index: int) -> str:
    label = labels[index] if index < len(labels) else ""
    return label or f"[row {index}]"
