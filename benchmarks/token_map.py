"""TokenMap engine against a plain Python loop over rows, in one process and one run.

    python benchmarks/token_map.py                                # 256k x 2304 bf16 -> 128k rows
    python benchmarks/token_map.py --dtype float32 --new 65536

Synthetic: random source rows, 30 % copies, the rest sums of two to six source rows. The loop is
timed on evenly spread rows and scaled up; engine and loop take turns, so both see the same machine.
"""

import argparse
import os
import threading
import time

import torch

from franken.init_method import AppliedMap, FallbackRule, Provenance, TokenMap, apply_map
from franken.token_map.options import Fallback


def synthetic_map(rows: int, source_rows: int) -> TokenMap:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(2, 7, (rows,), generator=generator)
    copied = torch.rand(rows, generator=generator) < 0.3
    sizes[copied] = 1
    indptr = torch.zeros(rows + 1, dtype=torch.int64)
    indptr[1:] = sizes.cumsum(0)
    count = int(indptr[-1])
    kinds = torch.where(copied, int(Provenance.copied), int(Provenance.computed))
    return TokenMap(
        indptr,
        torch.randint(0, source_rows, (count,), generator=generator, dtype=torch.int32),
        (1 / sizes.float()).repeat_interleave(sizes),
        kinds.to(torch.uint8),
        torch.ones(source_rows, dtype=torch.bool),
        [b"%d" % row for row in range(rows)],
    )


def loop_over_rows(token_map: TokenMap, source: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """What one writes first: gather, multiply, sum, cast, row after row."""
    made = torch.empty(len(rows), source.shape[1], dtype=source.dtype)
    for place, row in enumerate(rows):
        start, stop = int(token_map.indptr[row]), int(token_map.indptr[row + 1])
        indices = token_map.indices[start:stop].long()
        weights = token_map.weights[start:stop, None]
        made[place] = (source[indices].float() * weights).sum(dim=0).to(source.dtype)
    return made


class PeakMemory:
    """Highest resident memory above that at entry, sampled every 5 ms (Linux)."""

    def __enter__(self) -> "PeakMemory":
        self._start = self._peak = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.gigabytes = (max(self._peak, self._now()) - self._start) / 1e9

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self._peak = max(self._peak, self._now())

    @staticmethod
    def _now() -> int:
        with open("/proc/self/statm") as handle:
            return int(handle.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=int, default=256_000, help="source rows")
    parser.add_argument("--new", type=int, default=128_000, help="new rows")
    parser.add_argument("--size", type=int, default=2304, help="row length D")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--loop-rows", type=int, default=6_000, help="rows timed per turn")
    parser.add_argument("--draw-rows", type=int, default=0, help="also time drawn rows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    dtype = getattr(torch, options.dtype)
    source = torch.empty(options.source, options.size, dtype=dtype)
    for chunk in source.split(8192):
        chunk.normal_()
    token_map = synthetic_map(options.new, options.source)
    step = max(1, options.new // options.loop_rows)
    rows = list(range(0, options.new, step))[: options.loop_rows]

    engine_times, loop_times, peaks = [], [], []
    for _ in range(options.repeats):
        with PeakMemory() as memory:
            start = time.perf_counter()
            made = apply_map(token_map, source)
            engine_times.append(time.perf_counter() - start)
        peaks.append(memory.gigabytes)
        start = time.perf_counter()
        expected = loop_over_rows(token_map, source, rows)
        loop_times.append((time.perf_counter() - start) * options.new / len(rows))
        worst = (made[rows].float() - expected.float()).abs().max().item()
        del made
    table = options.new * options.size * dtype.itemsize / 1e9
    engine, loop = min(engine_times), min(loop_times)
    print(
        f"{options.source} x {options.size} {options.dtype} -> {options.new} rows, "
        f"{len(token_map.weights)} weights, {options.threads} threads"
    )
    print(f"engine  {engine:8.2f} s   best of {options.repeats}")
    print(f"loop    {loop:8.2f} s   best of {options.repeats}, scaled up from {len(rows)} rows")
    print(f"ratio   {loop / engine:8.1f} x")
    print(f"memory  {max(peaks):8.2f} GB above the source table; the new table is {table:.2f} GB")
    print(f"largest difference {worst:.1e}")
    del token_map, expected
    if options.draw_rows:
        draw(options, source)


def draw(options: argparse.Namespace, source: torch.Tensor) -> None:
    """Time of the rows that are drawn, statistics apart."""
    count = options.draw_rows
    for rule in (Fallback.normal, Fallback.multivariate):
        token_map = TokenMap(
            torch.zeros(count + 1, dtype=torch.int64),
            torch.empty(0, dtype=torch.int32),
            torch.empty(0),
            torch.full((count,), int(Provenance.fallback), dtype=torch.uint8),
            torch.ones(options.source, dtype=torch.bool),
            [b"%d" % row for row in range(count)],
            fallback=FallbackRule(rule, 1e-5),
        )
        applied = AppliedMap(token_map, source)
        start = time.perf_counter()
        applied.rows(0, 1)
        fitted = time.perf_counter() - start
        start = time.perf_counter()
        applied.rows(0, count)
        drawn = (time.perf_counter() - start) * 1000 / count
        print(f"{rule.value:<13} statistics {fitted:6.1f} s, then {drawn:5.2f} s per 1000 rows")


if __name__ == "__main__":
    main()
