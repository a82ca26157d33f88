"""A flipped byte in any kind of artefact is noticed; the step is redone with the same result."""

import logging
from pathlib import Path

import pytest

from franken.run import Runner
from franken.store import Artifact

from .conftest import compose_config

KINDS = ["pretrain", "build_vocab", "initialise", "train", "swap", "evaluate", "export"]


def make_runner(root: Path) -> Runner:
    config = compose_config(
        f"store.path={root}",
        "recipe.evaluate=[franken]",
        "recipe.export=[franken]",
        "eval_suite=smoke",
        "data.languages=[ka]",
    )
    return Runner(config, root.parent / "run")


@pytest.fixture(scope="module")
def store_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damage") / "store"
    make_runner(root).run()
    return root


def flip_a_byte(artifact: Artifact) -> Path:
    files = [artifact.path / name for name in artifact.manifest["files"]]
    victim = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.unlink()  # a hard link elsewhere must keep its bytes
    victim.write_bytes(content)
    return victim


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_reported_and_mended(
    kind: str, store_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runner = make_runner(store_root)
    name = next(n for n in runner.graph.needed() if runner.graph.steps[n].kind == kind)
    runner.run()
    before = runner.ensure(name)
    hashes = {file: entry["sha256"] for file, entry in before.manifest["files"].items()}
    victim = flip_a_byte(before)

    again = make_runner(store_root)
    with caplog.at_level(logging.WARNING):
        again.run()
        mended = again.ensure(name)
    assert victim.name in caplog.text
    assert not again.outcomes[name].cached
    redone = {file: entry["sha256"] for file, entry in mended.manifest["files"].items()}
    changing = {"training.json", "README.md"}  # hold times
    assert {f: h for f, h in redone.items() if Path(f).name not in changing} == {
        f: h for f, h in hashes.items() if Path(f).name not in changing
    }
