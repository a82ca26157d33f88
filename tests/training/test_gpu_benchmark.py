"""The benchmark for a GPU runs on a CPU at tiny shapes, so that it is right on the day."""

import subprocess
from pathlib import Path

import pytest

from benchmarks import gpu

SCRIPT = Path(gpu.__file__).with_name("gpu.sh")


@pytest.mark.parametrize("part", [name for name in gpu.PARTS if name != "xtransplant"])
def test_a_part_runs_and_gives_lines(part, capsys):
    """XTransplant's is a benchmark of its own, with its own checks."""
    assert gpu.main(["--tiny", "--only", part]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| {part} ")]
    assert lines
    assert not [line for line in lines if "failed" in line]


def test_a_part_that_fails_is_said_and_the_next_runs(monkeypatch, capsys):
    def broken(bench: gpu.Bench) -> None:
        bench.attempt("broken", "x", lambda: "a"[1])
        bench.attempt("sound", "y", lambda: "fine")

    monkeypatch.setattr(gpu, "PARTS", {"broken": broken})
    assert gpu.main(["--tiny", "--only", "broken"]) == 1
    shown = capsys.readouterr().out
    assert "IndexError" in shown
    assert "| sound | y | fine |" in shown


def test_what_there_is_no_time_for_is_left_out(capsys):
    assert gpu.main(["--tiny", "--only", "loss", "--minutes", "0"]) == 0
    assert "left out" in capsys.readouterr().out


def test_without_a_gpu_the_script_says_so(tmp_path):
    if gpu.torch.cuda.is_available():
        pytest.skip("a GPU is at hand")
    ended = subprocess.run(["bash", "-n", SCRIPT], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert gpu.main([]) == 2
