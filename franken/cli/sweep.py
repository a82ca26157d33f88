"""The end of a multirun: which jobs finished, failed or were done before; the grid's report."""

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from franken.cli.job import shown_command
from franken.cli.status import DONE, FAILED, FINISHED, INTERRUPTED, STATUS_FILE
from franken.cli.taking import FOLDER, jobs_at_work
from franken.files import read_json, write_atomically, write_json
from franken.processes import place_of
from franken.store import Store
from franken.store.lock import KeyLock

LOST = "lost"
"""A job whose directory exists but that left no status: it was killed."""


class SweepSummary(Callback):
    """Hydra callback; works with any launcher because it reads what jobs left on disk."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the summary, write the grid's results and report, remember the exit code."""
        place = place_of(config.trainer.devices, config.trainer.num_nodes)
        if place is not None and place.rank > 0:
            return
        sweep_dir = Path(config.hydra.sweep.dir)
        if config.sweep.take == "free":
            with KeyLock(sweep_dir / FOLDER / "report.lock", {"label": "the grid's report"}):
                self._conclude(sweep_dir, config, shared=True)
        else:
            self._conclude(sweep_dir, config)

    def _conclude(self, sweep_dir: Path, config: DictConfig, *, shared: bool = False) -> None:
        """Write what sums up the grid, unless another process has done it."""
        from rich.console import Console

        jobs = job_statuses(sweep_dir)
        if shared and (busy := jobs_at_work(sweep_dir)):
            print(f"{busy} jobs are at work in other processes; the last of them sums up the grid")
            return
        Outcome.failed = any(job["status"] in (FAILED, INTERRUPTED, LOST) for job in jobs)
        if shared and _is_written(sweep_dir, jobs):
            print(f"report   {sweep_dir / 'report' / 'index.html'} (by another process)")
            return
        results = b"".join(
            path.read_bytes() for path in (Path(j["run_dir"]) / "results.jsonl" for j in jobs)
            if path.exists()
        )  # fmt: skip
        console = Console()
        if results:
            from franken.cli.show import show_report

            write_atomically(sweep_dir / "results.jsonl", results)
            done = [
                Path(j["run_dir"]) for j in jobs if (Path(j["run_dir"]) / "results.jsonl").exists()
            ]
            title = str(read_json(done[0] / "run.json")["experiment"])
            store = Store(Path(config.store.path), verify=config.store.verify)
            command = shown_command(sys.argv[1:])
            show_report(done, sweep_dir, title, command=command, store=store)
        write_json(sweep_dir / "summary.json", jobs)
        _print_summary(console, jobs)


def _is_written(sweep_dir: Path, jobs: list[dict[str, Any]]) -> bool:
    try:
        written: bool = read_json(sweep_dir / "summary.json") == jobs
    except (OSError, ValueError):
        return False
    return written and (sweep_dir / "report").exists()


class Outcome:
    """How the last multirun of this process ended; the entry turns it into an exit code."""

    failed = False


def job_statuses(sweep_dir: Path) -> list[dict[str, Any]]:
    """The status of every job directory of a sweep, in job order."""
    found = []
    for directory in sorted(sweep_dir.iterdir(), key=lambda path: (len(path.name), path.name)):
        if (directory / STATUS_FILE).exists():
            found.append(read_json(directory / STATUS_FILE))
        elif (directory / ".hydra").is_dir():
            found.append({"status": LOST, "run_dir": str(directory), "overrides": [],
                          "error": "left no status: killed?"})  # fmt: skip
    return found


def _print_summary(console: Any, jobs: list[dict[str, Any]]) -> None:
    counts = {
        status: sum(job["status"] == status for job in jobs)
        for status in (FINISHED, DONE, FAILED, INTERRUPTED, LOST)
    }
    shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    console.print(f"\n{len(jobs)} jobs: {shown}", highlight=False)
    for number, job in enumerate(jobs):
        line = f"  {number:>3}  {job['status']:<12}  {' '.join(job['overrides'])}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
        if job["status"] in (FAILED, INTERRUPTED, LOST):
            first = str(job.get("error", "")).splitlines()
            console.print(f"       {first[0] if first else ''}", highlight=False, markup=False,
                          soft_wrap=True)  # fmt: skip
            console.print(f"       {job['run_dir']}", highlight=False, markup=False, soft_wrap=True)
    if counts[FAILED] or counts[INTERRUPTED] or counts[LOST]:
        console.print(
            "run the same command again: only what is missing is computed", highlight=False
        )
