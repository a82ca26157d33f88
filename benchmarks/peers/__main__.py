"""franken beside the tools that users have: the same real input, alternately, in one run.

    python benchmarks/peers --models DIR --tokenizers DIR --data DIR --environments DIR
    python benchmarks/peers ... --jobs omp --repeats 2

``--models`` holds ``gemma3-270m`` and ``smollm2-135m-instruct``, ``--tokenizers`` a folder per
tokenizer, ``--data`` the text; a job whose input is missing is skipped and says so. Every peer is
installed in an environment of its own below ``--environments``; where it cannot be had, its job is
skipped with the reason. Each measurement is a process; the least of the repeats is shown. On a
machine with other work compare the processor times: wall times are those of the neighbours too.
Jobs of more than a few minutes run with ``--long`` or by name.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from environments import NotAvailableError, python_of, versions_of
from job import Inputs, Job
from jobs import JOBS
from timing import Cost, FailedError, run

REPOSITORY = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("models", "tokenizers", "data"):
        parser.add_argument(f"--{name}", type=Path, default=Path("absent"))
    parser.add_argument("--environments", type=Path, default=Path("outputs/peers"))
    parser.add_argument("--jobs", help=f"comma-separated: {', '.join(JOBS)}")
    parser.add_argument("--long", action="store_true", help="the long jobs too")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="append one record per job")
    options = parser.parse_args()
    names = (options.jobs or ",".join(n for n in JOBS if options.long or not JOBS[n].long)).split(
        ","
    )
    if unknown := sorted(set(names) - set(JOBS)):
        parser.error(f"--jobs: no {', '.join(unknown)}; there are {', '.join(JOBS)}")
    inputs = Inputs(
        *(path.resolve() for path in (options.models, options.tokenizers, options.data))
    )
    print(f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {options.threads} threads\n")
    for name in names:
        record = {"job": name, **measure(JOBS[name], inputs, options)}
        print(shown(JOBS[name], record), flush=True)
        if options.json:
            with open(options.json, "a", encoding="utf-8") as handle:
                handle.write(json.dumps(record, sort_keys=True) + "\n")


def measure(job: Job, inputs: Inputs, options: argparse.Namespace) -> dict:
    """Both sides by turns, then how far they agree; or why not."""
    lacking = [
        need
        for need in job.needs
        if not (vars(inputs)[need.split("/")[0]] / need.partition("/")[2]).exists()
    ]
    if lacking:
        return {"skipped": f"no {', '.join(lacking)}"}
    home = options.environments.resolve()
    try:
        python = Path(sys.executable)
        if job.requirements:
            python = python_of(job.peer.split()[0], job.requirements, home)
    except NotAvailableError as error:
        return {"skipped": f"{job.peer} cannot be installed: {error}"}
    variables = {
        "OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(REPOSITORY), "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    theirs = {key: value for key, value in variables.items() if key != "PYTHONPATH"}
    costs: dict[str, list[Cost]] = {"franken": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="franken-peers-") as scratch:
        folder = Path(scratch)
        log = folder / "log.txt"
        try:
            for make in job.before:
                run(make(inputs, folder, python), log, variables)
            for number in range(options.repeats):
                for known in (variables, theirs):  # a peer's cache of vectors must not help it
                    known["XDG_CACHE_HOME"] = str(folder / f"cache{number}")
                costs["franken"].append(run(job.franken(inputs, folder, python), log, variables))
                costs["peer"].append(run(job.other(inputs, folder, python), log, theirs))
            agreement = ""
            for make in job.after:
                command = make(inputs, folder, python)
                run(command, log, variables if command[0] == sys.executable else theirs)
                agreement = log.read_text("utf-8").strip()
        except FailedError as error:
            return {"skipped": str(error)}
    return {
        **{side: least(found) for side, found in costs.items()},
        "agreement": agreement.splitlines()[-1] if agreement else "",
        "versions": versions_of(python, job.requirements or ("torch", "transformers", "peft")),
    }


def least(costs: list[Cost]) -> dict:
    """The least of the repeats, each figure for itself."""
    return {key: min(vars(cost)[key] for cost in costs) for key in vars(costs[0])}


def shown(job: Job, record: dict) -> str:
    if "skipped" in record:
        return f"## {job.title}\n\nskipped: {record['skipped']}\n"
    lines = [
        f"## {job.title}",
        "",
        f"Against {job.peer} ({record['versions']}); goal: {job.goal}.",
        "",
    ]
    lines += ["| | wall, s | processor, s | peak memory, MB |", "|---|---:|---:|---:|"]
    for side in ("franken", "peer"):
        found = record[side]
        peak = found["peak_bytes"] / 1e6
        lines.append(f"| {side} | {found['wall']:.1f} | {found['processor']:.1f} | {peak:,.0f} |")
    ratios = [
        record["peer"][key] / record["franken"][key] for key in ("wall", "processor", "peak_bytes")
    ]
    lines += [
        f"| peer / franken | {ratios[0]:.1f} | {ratios[1]:.1f} | {ratios[2]:.1f} |",
        "",
        record["agreement"],
        "",
    ]
    return "\n".join(lines)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            line.partition(":")[2].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{model}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
