"""XTransplant: one activation of a donor prompt's pass, put into the pass of another prompt.

Paper: arXiv 2412.12686. ``franken/transplant_engine`` has the ways to compute
the runs; they give the same tokens.
"""

from franken.inference.xtransplant.cache import run_cache
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
from franken.inference.xtransplant.naive import run_naive
from franken.inference.xtransplant.plan import pair_set
from franken.inference.xtransplant.wavefront import run_wavefront

__all__ = [
    "Decoding", "Donor", "EngineRun", "Host", "Intervention", "Options", "Pair", "Runs",
    "Task", "open_host", "pair_set", "run_cache", "run_naive", "run_wavefront",
]  # fmt: skip
