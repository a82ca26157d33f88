"""What ``sweep.take=free`` gains: the jobs of a grid by one process and by several, side by side.

Jobs sleep (work that waits for something) or compute on one core. No model is involved: what is
measured is the sharing out. ``shared`` counts from the moment when all processes stand ready,
``in all`` from before the first is started. Of several rounds, by turns, the shortest times count:
other work on the machine only ever adds.

    python benchmarks/grid.py [--jobs 24] [--seconds 1.0] [--rounds 3]
"""

import argparse
import subprocess
import sys
import tempfile
import time

PROCESSES = {"sleep": 4, "compute": 2}
WORKER = """
import sys, time
from pathlib import Path
from franken.cli import taking
from franken.files import write_json

folder, kind, jobs, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

def run(job):
    if kind == "sleep":
        time.sleep(seconds)
    else:
        end, x = time.process_time() + seconds, 0
        while time.process_time() < end:
            x += sum(range(1000))
    write_json(folder / str(job) / "status.json", {"status": "finished"})

print("ready", flush=True)
sys.stdin.readline()
taking.take_jobs(range(jobs), folder, run)
"""


def timed(processes: int, kind: str, jobs: int, seconds: float) -> tuple[float, float]:
    """Wall times of a grid: from when all processes are ready, and in all."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        command = [sys.executable, "-c", WORKER, folder, kind, str(jobs), str(seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers = [subprocess.Popen(command, **pipes) for _ in range(processes)]
        for worker in workers:
            worker.stdout.readline()
        ready = time.monotonic()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        assert [worker.wait() for worker in workers] == [0] * processes
        return time.monotonic() - ready, time.monotonic() - started


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=PROCESSES, default=list(PROCESSES))
    options = parser.parse_args()
    print("| work | processes | one, s | shared, s | gain | one in all, s | shared | gain |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kind in options.work:
        rounds = [
            [timed(n, kind, options.jobs, options.seconds) for n in (1, PROCESSES[kind])]
            for _ in range(options.rounds)
        ]
        cells = []
        for which in (0, 1):
            one, several = (min(found[n][which] for found in rounds) for n in (0, 1))
            cells.append(f"{one:.2f} | {several:.2f} | {one / several:.2f}x")
        print(f"| {kind} | {PROCESSES[kind]} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
