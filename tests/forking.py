"""Processes of their own that need not import torch and franken first: forks of a server.

One server serves all tests of a process; it imports what ``PRELOADED`` names when it is first
asked, and computes nothing. A fork is as real as a fresh interpreter: it has its own memory, its
own signals, and can be killed.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import CompletedProcess

PRELOADED = ["tests.preloaded", "tests.training.killed", "tests.training.together"]
CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)
DEADLINE = 600


class Franken:
    """``python -m franken`` in a directory, running from the moment that this is made."""

    def __init__(self, argv: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = argv
        self._said = tempfile.TemporaryDirectory(prefix="franken-said-")
        self.process = CONTEXT.Process(
            target=_main, args=(argv, cwd, {**os.environ, **(env or {})}, self._said.name),
            daemon=True,
        )  # fmt: skip
        self.process.start()

    def ended(self) -> bool:
        return self.process.exitcode is not None

    def send(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def done(self, *, check: bool = False) -> CompletedProcess[str]:
        """What it said, once it has ended.

        Args:
            check: an exit code other than 0 fails the test.
        """
        self.process.join(DEADLINE)
        if not self.ended():
            self.process.kill()
            self.process.join()
        out, err = (Path(self._said.name, name).read_text("utf-8") for name in ("out", "err"))
        self._said.cleanup()
        code = self.process.exitcode
        assert code is not None
        assert not check or code == 0, out[-3000:] + err[-4000:]
        return CompletedProcess(self.argv, code, out, err)


def _main(argv: list[str], cwd: Path, env: dict[str, str], said: str) -> None:
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(Path(said, name), os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
        os.close(file)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["franken", *argv]
    from franken.__main__ import main

    # multiprocessing leaves by os._exit; an interpreter runs what was registered for its exit
    atexit._clear()
    try:
        main()
    finally:
        atexit._run_exitfuncs()
