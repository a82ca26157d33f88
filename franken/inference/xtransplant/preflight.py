"""Proof, before work starts, that the chosen engine equals ``naive`` on this model and dtype."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from franken.errors import CompatibilityError
from franken.inference.xtransplant.contract import (
    Decoding,
    EngineRun,
    Intervention,
    Options,
    Pair,
    Runs,
    Task,
)
from franken.inference.xtransplant.engine_parts import prefill
from franken.inference.xtransplant.host import Host
from franken.transplant_engine.naive import Naive

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Largest difference of logits, relative to the largest first-step logit (at least 1). In half
precision sums of other shapes differ by some per cent of it on deep models: by 8 (bfloat16) and 1.4
(float16) on a random Gemma 2 of 24 layers. Faults smaller than that show in margins and tokens."""
UNSTABLE_TIMES = 10.0
"""A row is unstable where its margin lies below so many times the observed difference (4.4)."""
UNCHECKED_BELOW = {torch.bfloat16: 0.5, torch.float16: 0.0625}
"""Where nothing was compared, rows with a smaller margin are unstable: four spacings of the format
at logits between 16 and 32. In float32 none are marked then."""


@dataclass(frozen=True)
class Preflight:
    """What the comparison found."""

    engine: str
    pairs: int
    logit_difference: float
    """Largest difference of first-step logits."""
    continuation_difference: float
    """Largest difference, at any step, of a clean run from a pre-filled cache and one without."""
    margin_difference: float
    """Largest difference of margins, at any step up to the one where a row's tokens part."""
    tokens_equal: int
    """Pairs whose tokens are all equal."""
    first_tokens_equal: int
    least_margin: float
    """Smallest margin among the compared rows."""
    unstable_below: float
    """Rows with a smaller margin are marked."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class EngineMismatch(CompatibilityError):
    """An engine does not equal ``naive``: by ``report``, and in the tokens of pairs ``parted``."""

    def __init__(self, message: str, report: Preflight, parted: Sequence[Pair]) -> None:
        super().__init__(message)
        self.report = report
        self.parted = list(parted)


def preflight(
    host: Host,
    task: Task,
    pairs: Sequence[Pair],
    intervention: Intervention,
    decoding: Decoding,
    engine: EngineRun,
    *,
    name: str,
    count: int,
    seed: int = 0,
    draft_rows: int = 0,
) -> Preflight:
    """Compare an engine with ``naive`` on a few pairs.

    Tokens must be equal, but for rows that nearly tie at the step where they part: products of
    other shapes round differently, in half precision visibly. First-step logits, and the margins of
    all steps up to there, must agree within the tolerance of the number format.

    Args:
        host: the model.
        task: a sample of the user's own.
        pairs: what will be run; the first, the last and random ones are compared.
        intervention: as in the run.
        decoding: as in the run.
        engine: the engine.
        name: its name, for messages.
        count: pairs to compare.
        seed: draws them.
        draft_rows: as in the run; the vanilla answer is then taken as a draft here too.

    Raises:
        EngineMismatch: where they differ, with the figures and what to use instead.
    """
    plain = Task(task.target, task.donor, draft=task.draft)
    chosen = _chosen(pairs, count, seed)
    dtype = next(host.model.parameters()).dtype
    with host.silent():
        continuation = clean_continuation_difference(host, task.target, intervention, decoding)
        oracle = Naive().run(host, plain, chosen, intervention, decoding, Options(keep_logits=True))
        options = Options(keep_logits=True, draft_rows=draft_rows)
        other = engine(host, plain, chosen, intervention, decoding, options)
    difference = _largest(oracle.first_logits, other.first_logits)
    report = _report(name, oracle, other, difference, continuation)
    largest = max(1.0, float(_given(oracle.first_logits).abs().max()))
    allowed = TOLERANCE.get(dtype, 2e-5) * largest
    parted = _parted(oracle, other, report.unstable_below)
    margins_differ = report.margin_difference > allowed
    if continuation > allowed or difference > allowed or margins_differ or parted:
        shown = f"; tokens differ for pairs {parted[:3]}" if parted else ""
        raise EngineMismatch(
            f"engine={name} does not equal naive on this model ({host.anatomy.family}, {dtype}): "
            f"first-step logits differ by {difference:.2e}, a clean continuation from a pre-filled "
            f"cache by {continuation:.2e}, allowed are {allowed:.2e}; margins while decoding "
            f"differ by {report.margin_difference:.2e}, allowed is twice that{shown}. Use "
            f"inference.engine={'cache' if name == 'wavefront' else 'naive'}",
            report,
            parted,
        )
    return report


def clean_continuation_difference(
    host: Host, ids: Tensor, intervention: Intervention, decoding: Decoding
) -> float:
    """Largest logit difference, over all steps, between a run from a cache of P - 1 tokens and one
    that reads the whole text anew at each step (invariant V2; some families' caches are faulty).
    """  # noqa: D205
    cache = prefill(host, ids[:-1], intervention)
    text = ids.to(host.device)[None]
    new = text[:, -1:] if cache.get_seq_length() else text
    worst = 0.0
    for _ in range(decoding.max_new_tokens):
        cached = host.last_logits(host.states(input_ids=new, past_key_values=cache))
        fresh = DynamicCache(config=host.config)
        anew = host.last_logits(host.states(input_ids=text, past_key_values=fresh))
        worst = max(worst, _largest(cached, anew))
        new = anew.argmax(dim=-1)[:, None]
        text = torch.cat([text, new], dim=1)
    return worst


def _chosen(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    corners = list(dict.fromkeys([pairs[0], pairs[-1]]))[:count]
    others = [pair for pair in pairs if pair not in corners]
    more = random.Random(seed).sample(others, min(len(others), count - len(corners)))
    return corners + more


def _report(
    name: str, oracle: Runs, other: Runs, difference: float, continuation: float
) -> Preflight:
    both = list(zip(oracle.tokens, other.tokens, strict=True))
    return Preflight(
        engine=name,
        pairs=len(both),
        logit_difference=difference,
        continuation_difference=continuation,
        margin_difference=_margin_difference(oracle, other),
        tokens_equal=sum(a == b for a, b in both),
        first_tokens_equal=sum(a[:1] == b[:1] for a, b in both),
        least_margin=float(oracle.margins.min()),
        unstable_below=UNSTABLE_TIMES * max(difference, continuation),
    )


def _parted(oracle: Runs, other: Runs, unstable_below: float) -> list[Pair]:
    """Pairs whose tokens part at a step that was no near tie."""
    return [
        pair
        for row, pair in enumerate(oracle.pairs)
        if oracle.tokens[row] != other.tokens[row]
        and float(oracle.margins[row, _last_common(oracle, other, row)]) >= unstable_below
    ]


def _last_common(oracle: Runs, other: Runs, row: int) -> int:
    """The last step that both runs took from the same tokens: where they part, or the end."""
    a, b = oracle.tokens[row], other.tokens[row]
    steps = zip(a, b, strict=False)
    return next((n for n, (x, y) in enumerate(steps) if x != y), min(len(a), len(b)) - 1)


def _margin_difference(oracle: Runs, other: Runs) -> float:
    return max(
        float((oracle.margins[row, :end] - other.margins[row, :end]).abs().max())
        for row in range(len(oracle.pairs))
        for end in [_last_common(oracle, other, row) + 1]
    )


def _largest(one: Tensor | None, other: Tensor | None) -> float:
    return float((_given(one) - _given(other)).abs().max())


def _given(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor
