"""Whole recipes on a world and models small enough for seconds."""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from franken.config.root import Config
from franken.parts.model import assemble
from franken.run import Runner
from franken.steps.common.models import open_model
from tests import composing
from tests.forking import Franken

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
FEW_SCORES = ["eval_suite=intrinsics", "~eval_suite.tasks.retention"]
"""Where it matters that a model is scored, not what on: a handful of lines."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every file here runs whole recipes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("slow")


def compose_config(*overrides: str, pretrained: bool = True) -> Config:
    return composing.compose_config(*(TINY_MODEL if pretrained else []), *TINY, *overrides)


def weights_of(runner: Runner, step: str) -> dict[str, torch.Tensor]:
    """Copies of all weights of the model that a step gives, by name."""
    model, _ = assemble(open_model(runner.ensure(step), runner.store))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all recipe tests that do not damage it: shared steps are made once.

    The workers of one session have it together: it is made for several processes.
    """
    root = tmp_path_factory.getbasetemp()
    return (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "recipes" / "store"


@pytest.fixture
def franken(tmp_path: Path) -> Callable[..., CompletedProcess[str]]:
    """Runs the command line in a process of its own and a fresh directory."""

    def run(*argv: str, check: bool = False) -> CompletedProcess[str]:
        return Franken([*argv, *TINY_MODEL, *TINY], tmp_path).done(check=check)

    return run
