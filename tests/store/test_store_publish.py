"""Building, publishing and finding again; what goes wrong leaves nothing half-made."""

import errno
import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from franken.errors import ArtifactError
from franken.store import StepKey, Store
from tests.faults import raises


def everything_below(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_what_is_built_is_found_again_and_not_built_twice(store, step):
    def build(directory):
        (directory / "empty").mkdir()
        (directory / "deep/er").mkdir(parents=True)
        (directory / "deep/er/weights").write_bytes(b"123")
        return {"steps": 7, "loss": float("inf"), "device": "abacus"}

    made = store.produce(step, build, label="adapted")
    again = store.produce(step, lambda directory: pytest.fail("built twice"))
    found = Store(store.root).find(step)

    assert made.fresh
    assert not again.fresh
    assert made == again == found
    assert found.file("deep/er/weights").read_bytes() == b"123"
    assert (found.path / "empty").is_dir()
    assert found.meta == {"steps": 7, "loss": "inf", "device": "abacus"}
    assert found.manifest["device"] == "abacus"
    assert (found.label, found.size, found.manifest["seed"]) == ("adapted", 3, 0)
    assert found.manifest["versions"]["torch"]
    assert found.manifest["spec"] == step.spec
    assert found.path == store.root / "train" / step.key


def test_asking_for_a_file_that_is_not_there_names_those_that_are(publish, step):
    with raises(ArtifactError, "train", "(made)", "'table'", "a, b"):
        publish(step, a="1", b="2").file("table")


def test_an_unknown_step_is_none_and_touches_nothing(store, step):
    assert store.find(step) is None
    assert not store.root.exists()


def test_a_failed_build_publishes_nothing_and_keeps_scratch(store, step):
    def build(directory):
        (directory / "half").write_text("x")
        (store.scratch(step) / "checkpoint").write_text("step 5")
        raise RuntimeError("diverged")

    with raises(RuntimeError, "diverged"):
        store.produce(step, build)

    assert store.find(step) is None
    assert not list((store.root / "train").iterdir())
    assert (store.scratch(step) / "checkpoint").read_text() == "step 5"


def test_an_interrupt_publishes_nothing_and_frees_the_lock(store, step, publish):
    def build(directory):
        (directory / "half").write_text("x")
        raise KeyboardInterrupt

    with raises(KeyboardInterrupt):
        store.produce(step, build)

    assert not list((store.root / "train").iterdir())
    assert publish(step).fresh


def test_scratch_survives_until_publication(store, step):
    (store.scratch(step) / "checkpoint").write_text("step 5")

    def build(directory):
        assert (store.scratch(step) / "checkpoint").read_text() == "step 5"
        (directory / "weights").write_text("w")

    store.produce(step, build)

    assert not list((store.root / "scratch").iterdir())


def test_a_step_that_asks_for_itself_is_told_instead_of_waiting_for_ever(store, step, publish):
    with raises(ArtifactError, "'made'"):
        store.produce(step, lambda directory: publish(step) and None, label="loop")


def test_hard_links_and_symlinks_are_hashed_through_and_recorded(store, step, publish, tmp_path):
    shard = tmp_path / "shard"
    shard.write_text("body")
    base = StepKey.of("load", 1)
    publish(base, weights="base")

    def build(directory):
        os.link(shard, directory / "hard")
        (directory / "soft").symlink_to(shard)
        (directory / "inner").symlink_to("own")
        (directory / "own").write_text("own")
        (directory / "folder").symlink_to(store.path_of(base), target_is_directory=True)

    files = store.produce(step, build).manifest["files"]

    assert files["hard"]["link"] == "hard"
    assert files["soft"] == {**files["hard"], "link": "symlink", "target": str(shard.resolve())}
    assert "link" not in files["own"]
    assert files["inner"] == {**files["own"], "link": "symlink"}
    assert files["folder/weights"]["link"] == "symlink"
    assert Store(store.root).find(step) is not None

    shard.write_text("BODY")
    assert store.find(step) is None


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda d: (d / "x").symlink_to(d / "nowhere"), "x"),
        (lambda d: (d / "x").symlink_to("nowhere"), "'nowhere'"),
        (lambda d: (d / "x").symlink_to("."), "circle"),
        (lambda d: os.mkfifo(d / "x"), "x"),
        (lambda d: (d / "manifest.json").write_text("{}"), "manifest.json"),
    ],
    ids=["own path", "dangling", "circle", "fifo", "manifest"],
)
def test_what_cannot_be_an_artefact_is_refused(store, step, make, named):
    with raises(ArtifactError, store.root / "train", named):
        store.produce(step, lambda directory: make(directory) and None)
    assert store.find(step) is None


def fill_device(directory: Path) -> None:
    (directory / "half").write_text("x" * 2000)
    with open("/dev/full", "wb") as handle:
        handle.write(b"weights")


def fail_like_a_rust_library(directory: Path) -> None:
    raise ValueError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("build", [fill_device, fail_like_a_rust_library])
def test_a_disk_that_fills_while_building_says_what_to_do(store, step, build):
    if build is fill_device and not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")

    with raises(ArtifactError, "'adapted'", store.root, "franken.store", "store.path"):
        store.produce(step, build, label="adapted")

    assert not list((store.root / "train").iterdir())


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir", "replace"])
def test_a_disk_that_is_full_at_any_point_of_publication_leaves_nothing(
    store, step, publish, monkeypatch, call
):
    publish(StepKey.of("other", 1))
    before = everything_below(store.root)

    def refuse(path, *more, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with raises(ArtifactError, "'made'", store.root, "franken.store", "store.path"):
            publish(step)

    assert everything_below(store.root) - before <= {f"locks/{step.key}.lock"}
    assert publish(step).fresh


@contextmanager
def ordinary_user():
    """Drop the rights of the superuser, to whom no directory is read-only."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_store_is_read_and_says_so_when_written(step):
    with tempfile.TemporaryDirectory() as place:
        store, other = Store(Path(place) / "store"), StepKey.of("other", 1)
        store.produce(step, lambda directory: (directory / "w").write_text("w") and None)
        os.chmod(place, 0o755)
        for folder, _, _ in os.walk(store.root):
            os.chmod(folder, 0o555)
        try:
            with ordinary_user():
                assert store.find(step) is not None
                assert store.produce(step, lambda directory: None) is not None
                with raises(ArtifactError, "'next'", store.root, "store.path"):
                    store.produce(other, lambda directory: None, label="next")
        finally:
            for folder, _, _ in os.walk(store.root):
                os.chmod(folder, 0o755)


def test_errors_of_the_build_that_are_not_the_stores_pass_through(store, step, tmp_path):
    def build(directory):
        raise PermissionError(errno.EACCES, "denied", str(tmp_path / "elsewhere"))

    with raises(PermissionError, tmp_path / "elsewhere"):
        store.produce(step, build)


def test_a_directory_that_holds_something_else_is_never_taken_for_a_store(tmp_path, step):
    (tmp_path / "thesis.tex").write_text("dear")

    with raises(ArtifactError, tmp_path, "thesis.tex", "franken-store.json", "store.path"):
        Store(tmp_path).produce(step, lambda directory: None)

    assert everything_below(tmp_path) == {"thesis.tex"}


def test_a_root_that_is_a_file_is_explained(tmp_path, step):
    (tmp_path / "file").write_text("")

    with raises(ArtifactError, "'train'", tmp_path / "file", "store.path"):
        Store(tmp_path / "file").produce(step, lambda directory: None)


@pytest.mark.parametrize(
    ("text", "found"), [('{"format": 99}', 99), ("garbage", "format"), ("[]", "format")]
)
def test_a_store_of_another_format_is_left_alone(tmp_path, step, text, found):
    (tmp_path / "franken-store.json").write_text(text)

    with raises(ArtifactError, tmp_path / "franken-store.json", found):
        Store(tmp_path).produce(step, lambda directory: None)


def test_facts_that_json_cannot_hold_are_refused_before_publication(store, step):
    with raises(Exception, "'train'", "result.model", "object"):
        store.produce(step, lambda directory: {"model": object()})
    assert store.find(step) is None


def test_entries_lists_all_sound_manifests(store, publish, caplog):
    steps = [StepKey.of("train", 1, seed=n) for n in range(3)]
    paths = [publish(step).path for step in steps]
    (paths[0] / "manifest.json").write_text(json.dumps({}))

    assert {entry.key for entry in store.entries()} == {step.key for step in steps[1:]}
    assert "not listed" in caplog.text
