"""Whole recipes on a world and models small enough for seconds."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from franken.cli.check import to_config
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.config.root import Config

register_schemas()

PHASES = ("pretraining", "instructions", "adaptation", "repair", "edges")
TINY_MODEL = [
    "base_model.settings.hidden_size=32",
    "base_model.settings.intermediate_size=64",
    "base_model.settings.num_hidden_layers=2",
    "base_model.tokenizer.size=1200",
]
TINY = [
    "data.languages=[id,ka]",
    "data.sentences=300",
    "data.documents=60",
    "data.parallel=60",
    "data.instructions=100",
    "data.evaluation=8",
    "trainer.threads=1",
    "logger=none",
    *(
        f"training.{phase}.{key}={value}"
        for phase in PHASES
        for key, value in (("steps", 6), ("batch_size", 4), ("sequence_length", 64),
                           ("checkpoint_every", 2))
    ),
]  # fmt: skip


def compose_config(*overrides: str, pretrained: bool = True) -> Config:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return to_config(
            compose("config", overrides=[*(TINY_MODEL if pretrained else []), *TINY, *overrides])
        )


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all recipe tests that do not damage it: shared steps are made once."""
    return tmp_path_factory.mktemp("recipes") / "store"


@pytest.fixture
def franken(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a fresh process and directory."""

    def run(
        *argv: str, tiny: bool = True, check: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "franken", *argv, *((*TINY_MODEL, *TINY) if tiny else ())]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **env}
        )
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run
