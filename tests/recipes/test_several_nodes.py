"""Whole jobs by two processes that play two nodes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.forking import Franken
from tests.training.together import free_port

from .conftest import FEW_SCORES, TINY, TINY_MODEL

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo"),
]
JOB = [*TINY_MODEL, *TINY, "recipe.evaluate=[base]", *FEW_SCORES,
       "data.languages=[ka]", "hydra.run.dir=job"]  # fmt: skip
DEADLINE = 150


def loss_of(store: Path) -> str:
    (report,) = store.glob("pretrain/*/training.json")
    return report.read_text()


def test_nodes_with_a_store_each_and_the_second_needs_none(tmp_path):
    port = str(free_port())
    nodes = []
    for rank in ("0", "1"):
        (tmp_path / rank).mkdir()
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": rank}
        argv = [*JOB, "trainer.num_nodes=2", "store.path=store"]
        nodes.append(Franken(argv, tmp_path / rank, variables))
    for node in nodes:
        node.done(check=True)
    assert (tmp_path / "0" / "job" / "results.jsonl").exists()
    assert '"steps": 6' in loss_of(tmp_path / "0" / "store")
    assert list((tmp_path / "1").iterdir()) == []


def test_torchrun_shards_over_one_store(tmp_path):
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-port", str(free_port()), "-m", "franken", *JOB, "trainer.devices=2",
        "trainer.strategy=fsdp", "store.path=store",
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, text=True, capture_output=True, timeout=DEADLINE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / "job" / "results.jsonl").exists()
    assert '"steps": 6' in loss_of(tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job", "store"]
