"""XTransplant: one activation of a donor prompt's pass, put into the pass of another prompt.

Paper: arXiv 2412.12686. ``franken/transplant_engine`` has the ways to compute
the runs; they give the same tokens.
"""

from collections.abc import Iterator
from typing import Any

from franken.config.checks import at_least, hint, in_range
from franken.declare import option, options
from franken.inference.base import Inference
from franken.inference.xtransplant.choices import (
    DonorKind,
    Op,
    Positions,
    Site,
    Steps,
    Stop,
    Unstable,
)
from franken.lazy import later
from franken.transplant_engine.base import engine_of

with later(public=True):
    from franken.inference.xtransplant.contract import (
        Decoding,
        Donor,
        EngineRun,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.host import Host, open_host
    from franken.inference.xtransplant.plan import pair_set

__all__ = [
    "Decoding",
    "Donor",
    "EngineRun",
    "Host",
    "Intervention",
    "Options",
    "Pair",
    "Runs",
    "Task",
    "XTransplant",
    "open_host",
    "pair_set",
]


PAIR_SETS = ("grid", "targetfirst", "sourcelast", "diagonal", "file")


@option
class XTransplant(Inference):
    """XTransplant: an activation of the other language's prompt goes into the answered prompt."""

    site: Site = Site.ffn_out
    op: Op = Op.replace
    alpha: float = 1.0
    """Weight of the donor's vector in ``add`` and ``lerp``."""
    positions: Positions = Positions.last
    steps: Steps = Steps.prefill
    donor: DonorKind = DonorKind.translation
    pairs: Any = "grid"
    """grid, targetfirst (target layer 0), sourcelast, diagonal, file, or a list of
    ``[source, target]`` layers; negative ones count from the last layer."""
    pairs_file: str | None = None
    """For ``pairs=file``: what a ``select_pairs`` step wrote, or the same layout by hand."""
    engine: str = "wavefront"
    """A file of ``franken/transplant_engine``: naive, cache, wavefront; all give equal tokens."""
    verify: int = 4
    """Pairs of the first sample on which the engine must equal ``naive`` before work starts. 0: not
    checked; the report says so, and near ties are marked by a fixed margin (half precision) or not
    at all (float32)."""
    unstable: Unstable = Unstable.mark
    stop: Stop = Stop.text
    share: bool = True
    """Runs that must coincide are computed once (identical prompts on the diagonal; rows of the
    last target layer with equal first tokens)."""
    max_rows: int | None = None
    """Pairs decoded at once by ``wavefront``; ``null``: all. Bounds the memory."""
    draft_rows: int = 64
    """Up to so many pairs, ``wavefront`` takes the vanilla answer as a draft and reads all of it in
    one pass: the same tokens, sooner where few rows leave a device idle. 0: never."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("alpha", self.alpha, -10.0, 10.0)
        yield from at_least("verify", self.verify, 0)
        yield from at_least("max_rows", self.max_rows, 1)
        yield from at_least("draft_rows", self.draft_rows, 0)
        if self.op is Op.replace and self.alpha != 1.0:
            yield "alpha", "has no meaning for op=replace; use op=lerp or op=add"
        if isinstance(self.pairs, str):
            if self.pairs not in PAIR_SETS:
                yield "pairs", f"is {self.pairs!r}; valid: {', '.join(PAIR_SETS)} or a list [[i,j]]"
        elif not _is_pair_list(self.pairs):
            yield "pairs", f"must be a list of [source, target] layers, got {self.pairs!r}"
        if self.pairs == "file" and not self.pairs_file:
            yield "pairs_file", "is missing: pairs=file reads it"
        known = options("transplant_engine")
        if self.engine not in known:
            yield "engine", f"{self.engine!r} is no engine.{hint(self.engine, known)}"
        elif self.positions is Positions.all and not engine_of(self.engine).every_position:
            yield (
                "engine",
                f"{self.engine} shares the prompt's prefix, positions=all changes it; use cache",
            )


def _is_pair_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(pair, list) and len(pair) == 2 and all(type(x) is int for x in pair)
            for pair in value
        )
    )
