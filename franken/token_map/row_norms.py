"""Lengths of the rows that a map makes: what they are, and what an option makes of them."""

from dataclasses import replace

import torch
from torch import Tensor

from franken.token_map.engine import AppliedMap
from franken.token_map.options import Rescale
from franken.token_map.token_map import Provenance, TokenMap

_CHUNK_ROWS = 2048
_NOTED_CHUNKS = 8
"""Where lengths are only noted, the rows of so many chunks, spread over the table."""


def finish_norms(token_map: TokenMap, source: Tensor, rescale: Rescale) -> TokenMap:
    """Note how long the computed rows are against the source's, and rescale their weights.

    Where they are not rescaled, rows of a few chunks are enough for the note. A projection on few
    anchors is shorter than what is projected: about ``sqrt(k / h)`` of it for unrelated rows. The
    factors come from the input rows and hold for the output rows too.

    Args:
        token_map: fitted; computed rows are the method's.
        source: ``(S, D)`` input rows.
        rescale: what to do.
    """
    computed = (token_map.provenance == int(Provenance.computed)).nonzero().flatten()
    applied = AppliedMap(replace(token_map, noise_std=0.0, norm_match=False), source)
    mean, goal = applied.statistics.mean.float(), applied.statistics.mean_norm
    if not len(computed):
        return token_map
    lengths, angles = [], []
    places = (computed // _CHUNK_ROWS).unique()
    if rescale is Rescale.none:
        places = places[:: -(-len(places) // _NOTED_CHUNKS)]
    for start in (places * _CHUNK_ROWS).tolist():
        stop = min(start + _CHUNK_ROWS, token_map.rows)
        wanted = token_map.provenance[start:stop] == int(Provenance.computed)
        rows = applied.rows(start, stop)[wanted].float()
        lengths.append(rows.norm(dim=1))
        angles.append(torch.cosine_similarity(rows, mean[None], dim=1))
    norms, cosines = torch.cat(lengths), torch.cat(angles)
    token_map.notes["row_lengths"] = {
        "computed_over_source": float(norms.mean()) / goal if goal else None,
        "mean_cosine_to_source_mean": float(cosines.mean()),
        "rescale": str(rescale),
    }
    if rescale is Rescale.none:
        return token_map
    factors = torch.ones(token_map.rows)
    if rescale is Rescale.mean_norm:
        factors[computed] = goal / norms.mean()
    else:
        factors[computed] = torch.where(norms > 0, goal / norms, 1.0)
    per_weight = torch.repeat_interleave(factors, token_map.sizes())
    output = token_map.output_weights
    return replace(
        token_map,
        weights=token_map.weights * per_weight,
        output_weights=None if output is None else output * per_weight,
    )
