"""What ``sweep.take=free`` gains: the jobs of a grid by one process and by several, side by side.

Jobs sleep (work that waits for something) or compute on one core; processes are started anew and
their start counts. No model is involved: what is measured is the sharing out.

    python benchmarks/grid.py [--jobs 24] [--seconds 1.0]
"""

import argparse
import subprocess
import sys
import tempfile
import time

WORKER = """
import sys, time
from pathlib import Path
from franken.cli import taking
from franken.files import write_json

folder, kind, jobs, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
taking.POLL_SECONDS = 0.1

def run(job):
    if kind == "sleep":
        time.sleep(seconds)
    else:
        end, x = time.process_time() + seconds, 0
        while time.process_time() < end:
            x += sum(range(1000))
    write_json(folder / str(job) / "status.json", {"status": "finished"})

taking.take_jobs(range(jobs), folder, run)
"""


def timed(processes: int, kind: str, jobs: int, seconds: float) -> float:
    """Wall time of a grid."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        arguments = [sys.executable, "-c", WORKER, folder, kind, str(jobs), str(seconds)]
        workers = [subprocess.Popen(arguments) for _ in range(processes)]
        assert [worker.wait() for worker in workers] == [0] * processes
        return time.monotonic() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    print("| work | processes | one, s | several, s | gain |\n|---|---:|---:|---:|---:|")
    for kind, processes in (("sleep", 4), ("compute", 2)):
        one = timed(1, kind, options.jobs, options.seconds)
        several = timed(processes, kind, options.jobs, options.seconds)
        print(f"| {kind} | {processes} | {one:.1f} | {several:.1f} | {one / several:.2f}x |")


if __name__ == "__main__":
    main()
