"""Initialisers at full vocabulary size against the same computed row by row, in one run.

    python benchmarks/init.py                                     # 256k x 2304 bf16 -> 128k rows
    python benchmarks/init.py --methods focus,salt --new-rows 32000 --json init.jsonl

Everything is synthetic (``initialisers/world.py``); the loops are in ``initialisers/loops.py``.
Each loop is timed on evenly spread rows and scaled up; its vectors and anchors are ready before
the clock starts, while a fit pays for comparing the vocabularies, for encoders and for labels. Rows
of both are compared. With ``--share`` only so many of the target's own rows are fitted, and half
of these: the difference is what further rows cost (a small share makes a small difference; on a
busy machine take a large one). OMP, whose products alone are some 300 TFLOP, never takes more than
2 %.

Memory is the most that fit or application held above the source table, the resources and, while it
is applied, the new table; the limit is 2 GB.
"""

import argparse
import ctypes
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from initialisers import applying
from initialisers.methods import CASES, Case, Product
from initialisers.timing import count_processor_time, now
from initialisers.world import Sizes, Vocabularies, World, make_world, source_table
from rich.console import Console
from rich.table import Table as RichTable
from torch import Tensor

from franken.init_method import TokenMap, apply_map, fit_map
from franken.init_method.base import InitMethod
from franken.init_method.copy_only import CopyOnlyInit
from franken.measure import measured
from franken.parts.table import Table
from franken.token_map import neighbours
from franken.tokenizer import pieces

LIMIT_BYTES = 2e9
APPLY_GOAL = 20
"""Times that applying a map shall be faster than the loop over rows."""
GEMM_ROWS = 512
Record = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default=",".join(CASES), help="comma-separated")
    parser.add_argument("--source-rows", type=int, default=256_000)
    parser.add_argument("--new-rows", type=int, default=128_000)
    parser.add_argument("--hidden", type=int, default=2304, help="row length D")
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    parser.add_argument("--overlap", type=float, default=0.25, help="share of common pieces")
    parser.add_argument("--share", type=float, default=1.0, help="of the target's own rows, fitted")
    parser.add_argument("--loop-rows", type=int, default=200, help="rows timed per loop")
    parser.add_argument("--loop-seconds", type=float, default=60.0, help="a loop ends after that")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="append one record per method to this file")
    parser.add_argument(
        "--memory-only",
        action="store_true",
        help="search no neighbours (wechsel, ofa): what all rows hold, in minutes; no times",
    )
    parser.add_argument(
        "--processor-time", action="store_true", help="count it instead of wall time, one thread"
    )
    options = parser.parse_args()
    if options.processor_time:
        options.threads = 1
        count_processor_time()
    names = options.methods.split(",")
    if unknown := sorted(set(names) - set(CASES)):
        parser.error(f"--methods: no {', '.join(unknown)}; there are {', '.join(CASES)}")
    if not 0 < options.share <= 1:
        parser.error("--share: more than 0 and at most 1")
    if options.memory_only and not set(names) <= {"wechsel", "ofa"}:
        parser.error("--memory-only is for wechsel and ofa, whose time lies in the search")
    torch.set_num_threads(options.threads)
    sizes = Sizes(
        options.source_rows, options.new_rows, options.hidden, getattr(torch, options.dtype),
        overlap=options.overlap,
    )  # fmt: skip
    if options.memory_only:
        for line in held_without_search(names, sizes):
            print(line, flush=True)
        return
    warm = argparse.Namespace(**{**vars(options), "share": 1.0, "loop_rows": 2})
    list(measure_all(names, Sizes(3000, 1500, 64, helper_dim=48, vector_dim=32), warm))
    records = []
    for record in measure_all(names, sizes, options):
        records.append(record)
        print(f"{record['method']}: {record['fit_measured_seconds']:.1f} s", file=sys.stderr)
        if options.json:
            with open(options.json, "a") as handle:
                handle.write(json.dumps(record, sort_keys=True) + "\n")
    report(records, options)


def held_without_search(names: list[str], sizes: Sizes) -> Iterator[str]:
    """Peak of each fit over all rows, the product of queries and anchors and its sorting left out.

    The buffers of both are there, and every row gets weights, of the first anchors.
    """

    def multiply(left: Tensor, right: Tensor, *, out: Tensor) -> None:
        out.zero_()

    def best(similarity: Tensor, k: int) -> tuple[Tensor, Tensor]:
        rows = len(similarity)
        return torch.zeros(rows, k), torch.arange(k).repeat(rows, 1)

    with patch.multiple(neighbours, fixed_height_product=multiply, _best=best):
        for _, world, (name,) in worlds(sizes, [(1.0, [name]) for name in names]):
            _, _, peak = fit(world, CASES[name].config)
            yield f"{name}: peak {'-' if peak is None else f'{peak / 1e9:.2f}'} GB above the tables"


def worlds(
    sizes: Sizes, groups: list[tuple[float, list[str]]]
) -> Iterator[tuple[float, World, list[str]]]:
    """A world per share with what its methods need, one at a time, since they are large."""
    torch.manual_seed(0)
    vocabularies = Vocabularies(sizes)
    source = source_table(sizes, vocabularies)
    for share, names in groups:
        needs = {need for name in names for need in CASES[name].config.needs()}
        world = make_world(sizes, vocabularies, source, share, needs)
        _ = world.overlap, world.source_bytes
        yield share, world, names
        del world


def measure_all(names: list[str], sizes: Sizes, options: argparse.Namespace) -> Any:
    """One record per method."""
    share_of = {name: min(options.share, CASES[name].most) for name in names}
    parts = {share / 2 for share in share_of.values() if share < 1}
    shares = sorted(parts | set(share_of.values()))
    groups = [
        (share, [name for name in names if share in (share_of[name], share_of[name] / 2)])
        for share in shares
    ]
    halves: dict[str, float] = {}
    for share, world, chosen in worlds(sizes, groups):
        compared = min(fit(world, CopyOnlyInit())[1] for _ in range(2))
        for name in chosen:
            if share < share_of[name]:
                halves[name] = fit(world, CASES[name].config)[1]
            else:
                yield measure(name, CASES[name], world, share, compared, halves.get(name), options)
        del world


def measure(
    name: str, case: Case, world: World, share: float, compared: float, half: float | None,
    options: argparse.Namespace,
) -> Record:  # fmt: skip
    before = resident()
    token_map, seconds, fit_peak = fit(world, case.config)
    held = max(0, resident() - before)
    started = now()
    with measured() as cost, applying.statistics_clock() as passes:
        new = apply(token_map, world.source, case.config)
    once = sum(passes)
    applying_seconds = now() - started - once
    table_bytes = new.numel() * new.element_size()
    peak = None
    if fit_peak is not None and cost.peak_bytes is not None:
        peak = max(fit_peak, held + cost.peak_bytes - table_bytes)
    whole = world.sizes.new_rows / token_map.rows
    own = max(seconds - compared, 0.0)
    record = {
        "benchmark": "init", "method": name, "share": share,
        "source_rows": world.source.rows, "new_rows": world.sizes.new_rows,
        "hidden": world.sizes.hidden, "dtype": options.dtype, "threads": torch.get_num_threads(),
        "rows": token_map.counts(), "weights": len(token_map.weights),
        "fit_measured_seconds": seconds, "compare_seconds": compared,
        "fit_seconds": seconds if half is None else extrapolated(seconds, half, share),
        "apply_seconds": applying_seconds * whole, "statistics_seconds": once,
        "peak_bytes": peak, "within_limit": None if peak is None else peak <= LIMIT_BYTES,
    }  # fmt: skip
    record |= loop_fit(case, world, token_map, new, share, options)
    record |= loop_apply(token_map, world.source.input, whole, options)
    products = case.products(world, token_map)
    if products:
        flop = sum(2.0 * n * m * d * times for n, m, d, times in products)
        record |= {"gflop": flop / 1e9, "gflops": flop / max(own, 1e-9) / 1e9}
        record["gemm_gflops"] = gemm_speed(products[0])
    return record


def extrapolated(seconds: float, half: float, share: float) -> float:
    """Seconds for all rows: what a share takes, and what its second half added for each row more.

    What rests on the source alone, or on pieces that both vocabularies have, is in both.
    """
    return seconds + max(seconds - half, 0.0) / (share / 2) * (1 - share)


def fit(world: World, config: InitMethod) -> tuple[TokenMap, float, int | None]:
    """Map, seconds and peak bytes, with the caches of a fresh process."""
    pieces._ENCODERS.clear()
    for spaces in (world.resources.word_vectors, world.resources.piece_vectors):
        for space in spaces.values():
            space.__dict__.pop("index", None)
    trim()
    started = now()
    with measured() as cost:
        token_map = fit_map(world.source, world.target, config, world.resources, 0)
    return token_map, now() - started, cost.peak_bytes


def apply(token_map: TokenMap, source: Table, config: InitMethod) -> Tensor:
    """The new input table, as ``initialise`` makes it."""
    made = config.own_rows(token_map, source, "input")
    return apply_map(token_map, source.input) if made is None else made


def loop_fit(
    case: Case, world: World, token_map: TokenMap, new: Tensor, share: float,
    options: argparse.Namespace,
) -> Record:  # fmt: skip
    """Seconds of the loop for all rows, and how far its rows are from the method's."""
    seconds, worst, timed, scale = 0.0, None, 0, 0.0
    if case.make is not None:
        rows = case.rows(world, token_map)
        make = case.make(world, token_map, case.config)
        found, spent = {}, 0.0
        for row in spread(rows, options.loop_rows):
            started = now()
            found[row] = make(row)
            spent += now() - started
            if spent > options.loop_seconds:
                break
        timed, scale = len(found), len(rows) / share
        seconds = spent / max(timed, 1) * scale
        worst = difference(found, token_map, world.source.input, new)
    if case.rest is not None:
        # Words and word pairs grow with the whole table, not with the rows of its own.
        growth = world.sizes.new_rows / token_map.rows
        rest = case.rest(world, token_map, case.config, options.loop_rows)
        seconds += rest * growth
    return {"loop_fit_seconds": seconds, "loop_rows": timed, "difference": worst}


def difference(
    found: dict[int, Any], token_map: TokenMap, source: Tensor, new: Tensor
) -> float | None:
    """Largest deviation of the loop's rows, as a share of the row's largest entry.

    Rows that are drawn are not compared.
    """
    worst = None
    sizes = token_map.sizes()
    for row, made in found.items():
        if int(sizes[row]) == 0:
            continue
        if not isinstance(made, Tensor):
            weights = torch.from_numpy(made[1]).float()
            made = weights @ source[torch.as_tensor(made[0]).long()].float()
        ours = new[row].float()
        worst = max(worst or 0.0, float((made - ours).abs().max() / ours.abs().max()))
    return worst


def loop_apply(
    token_map: TokenMap, source: Tensor, whole: float, options: argparse.Namespace
) -> Record:
    """Seconds of both loops for all rows with weights."""
    weighted = (token_map.sizes() > 0).nonzero().flatten().tolist()
    rows = spread(weighted, options.loop_rows)
    scale = len(weighted) / max(len(rows), 1) * whole
    _, by_row = applying.row_by_row(token_map, source, rows)
    return {
        "row_loop_seconds": by_row * scale,
        "pair_loop_seconds": applying.source_by_source(token_map, source, rows) * scale,
    }


def gemm_speed(product: Product) -> float:
    """GFLOP/s of one plain product of ``GEMM_ROWS`` queries of this shape, best of three."""
    _, anchors, width, _ = product
    left, right = torch.randn(GEMM_ROWS, width), torch.randn(anchors, width)
    out, best = torch.empty(GEMM_ROWS, anchors), float("inf")
    for _ in range(4):  # the first one is a warm-up
        started = now()
        torch.mm(left, right.T, out=out)
        best = min(best, now() - started)
    return 2.0 * GEMM_ROWS * anchors * width / best / 1e9


def spread(rows: list[int], count: int) -> list[int]:
    """At most ``count`` of the rows, evenly spread."""
    return rows[:: max(1, len(rows) // count)][:count]


def resident() -> int:
    """Bytes of this process now; 0 where the system cannot tell."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


def trim() -> None:
    """Give freed memory back, or what a method takes would be hidden in it."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def report(records: list[Record], options: argparse.Namespace) -> None:
    dense = options.source_rows * options.new_rows * 4 / 1e9
    table = RichTable(
        title=f"{options.source_rows} x {options.hidden} {options.dtype} -> {options.new_rows} "
        f"rows, {options.threads} threads; a dense map would be {dense:.1f} GB"
    )
    columns = (
        "method", "fit s", "loop s", "ratio", "GFLOP/s", "of GEMM", "apply s", "rows s", "ratio",
        "pairs s", "ratio", "peak GB", "difference",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    for record in records:
        scaled = "" if record["share"] == 1 else f" ({record['share']:.0%})"
        table.add_row(
            record["method"] + scaled,
            f"{record['fit_seconds']:.2f}",
            *loop_ratio(record),
            *speeds(record),
            f"{record['apply_seconds']:.2f}",
            f"{record['row_loop_seconds']:.2f}",
            f"{record['row_loop_seconds'] / record['apply_seconds']:.1f}x",
            f"{record['pair_loop_seconds']:.2f}",
            f"{record['pair_loop_seconds'] / record['apply_seconds']:.1f}x",
            "-" if record["peak_bytes"] is None else f"{record['peak_bytes'] / 1e9:.2f}",
            "-" if record["difference"] is None else f"{record['difference']:.0e}",
        )
    Console(width=164).print(table)
    print(
        f"fit: comparing the vocabularies alone is {records[0]['compare_seconds']:.2f} s of it. "
        f"loop: scaled up from at most {options.loop_rows} rows. (n %): fitted on that share of "
        "the target's own rows and scaled.\napply: without the statistics of the source, which "
        f"some methods need ({max(r['statistics_seconds'] for r in records):.1f} s, once per "
        "table); ratios to the loop over rows (goal: "
        f"{APPLY_GOAL}x) and to the one over pairs of token and source row. peak: above the two "
        "tables and the resources.\n"
        "difference: of the loop's rows, as a share of a row's largest entry; drawn rows have none."
    )
    slow = [
        record["method"]
        for record in records
        if record["row_loop_seconds"] < APPLY_GOAL * record["apply_seconds"]
    ]
    print(f"applied less than {APPLY_GOAL}x as fast as row by row: {', '.join(slow) or 'none'}")
    above = [record["method"] for record in records if record["within_limit"] is False]
    print(f"peak memory above two tables + 2 GB: {', '.join(above) or 'none'}")


def loop_ratio(record: Record) -> tuple[str, str]:
    """Seconds of the fitting loop and how often the fit goes into them; ``-``: it has no loop."""
    seconds = record["loop_fit_seconds"]
    if not seconds:
        return "-", "-"
    return f"{seconds:.1f}", f"{seconds / record['fit_seconds']:.1f}x"


def speeds(record: Record) -> tuple[str, str]:
    if "gflops" not in record:
        return "", ""
    return f"{record['gflops']:.1f}", f"{record['gflops'] / record['gemm_gflops']:.0%}"


if __name__ == "__main__":
    main()
