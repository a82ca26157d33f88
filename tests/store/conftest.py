"""A store in a temporary directory, and builders in processes of their own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import franken
from franken.store import Artifact, StepKey, Store

DEADLINE_SECONDS = 30


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def step() -> StepKey:
    return StepKey.of("train", 1, config={"lr": 0.5}, seed=0)


@pytest.fixture
def publish(store: Store) -> Callable[..., Artifact]:
    """Publish an artefact whose files are given as name -> text."""

    def publish(step: StepKey, label: str = "made", **files: str) -> Artifact:
        def build(directory: Path) -> None:
            for name, text in (files or {"weights": "0123456789"}).items():
                (directory / name).write_text(text)

        return store.produce(step, build, label=label)

    return publish


class Builder:
    """A process that builds, told what to do line by line; killed when it takes too long."""

    def __init__(self, source: str, *arguments: object) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(franken.__file__).parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        self.timer = threading.Timer(DEADLINE_SECONDS, self.process.kill)
        self.timer.start()

    def read_until(self, wanted: str) -> str:
        """The output up to the first line that holds ``wanted``."""
        text = ""
        for line in self.process.stdout:
            text += line
            if wanted in line:
                return text
        raise AssertionError(f"never said {wanted!r}:\n{text}")

    def say(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def finish(self) -> str:
        """The rest of the output; fails unless the process ended well."""
        text = self.process.stdout.read()
        assert self.process.wait() == 0, text
        return text

    def close(self) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def builder() -> Iterator[Callable[..., Builder]]:
    started: list[Builder] = []

    def start(source: str, *arguments: object) -> Builder:
        started.append(Builder(source, *arguments))
        return started[-1]

    yield start
    for process in started:
        process.close()
