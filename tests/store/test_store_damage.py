"""Damage is found, named, moved aside, and the step done again."""

import os
import shutil

import pytest

from franken.files import hash_json, read_json, write_json
from franken.store import StepKey, Store
from franken.store import digest as digest_module
from franken.store.verify import inspect
from tests.faults import unnamed


def flip(path, position, mask=1):
    with open(path, "r+b") as handle:
        handle.seek(position)
        (byte,) = handle.read(1)
        handle.seek(position)
        handle.write(bytes([byte ^ mask]))


DAMAGE = {
    "flipped byte": (lambda a: flip(a.path / "weights", 4), "weights", "sha256"),
    "truncated": (lambda a: os.truncate(a.path / "weights", 3), "weights", "found 3 bytes"),
    "empty": (lambda a: os.truncate(a.path / "weights", 0), "weights", "found 0 bytes"),
    "deleted": (lambda a: (a.path / "weights").unlink(), "weights", "no such file"),
    "added": (lambda a: (a.path / "more").write_text("x"), "more", "not listed"),
    "manifest flipped": (lambda a: flip(a.path / "manifest.json", 40), "manifest.json", "sha256"),
    "manifest truncated": (lambda a: os.truncate(a.path / "manifest.json", 99), "manifest", "JSON"),
    "manifest empty": (lambda a: os.truncate(a.path / "manifest.json", 0), "manifest", "JSON"),
    "manifest garbage": (
        lambda a: (a.path / "manifest.json").write_bytes(b"\xff\x00"),
        "manifest.json",
        "JSON",
    ),
    "manifest deleted": (lambda a: (a.path / "manifest.json").unlink(), "manifest", "found none"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_artefact_is_reported_set_aside_and_done_again(
    store, step, publish, caplog, kind
):
    damage, file, message = DAMAGE[kind]
    damage(publish(step))

    assert store.find(step) is None

    (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert file in record.getMessage()
    assert message in record.getMessage()
    (aside,) = (store.root / "damaged").iterdir()
    assert aside.name.startswith(f"train-{step.key}-")
    assert str(aside) in record.getMessage()
    assert publish(step).fresh
    assert store.find(step) is not None


def test_no_single_flipped_bit_of_a_manifest_passes(step, publish):
    artifact = publish(step)
    manifest = artifact.path / "manifest.json"
    original = manifest.read_bytes()

    for position in range(len(original)):
        flip(manifest, position, 1 << position % 8)
        assert inspect(artifact.path)[1], f"byte {position}: {original[position : position + 1]!r}"
        flip(manifest, position, 1 << position % 8)
    assert inspect(artifact.path)[1] == []


def test_produce_repairs_damage_by_itself(store, step, publish):
    flip(publish(step).path / "weights", 0)

    assert publish(step).fresh
    assert store.find(step).file("weights").read_text() == "0123456789"


def test_an_artefact_under_a_foreign_key_is_damage(store, step, publish, caplog):
    other = StepKey.of("train", 1, seed=99)
    shutil.copytree(publish(step).path, store.path_of(other))

    assert store.find(other) is None
    assert not unnamed(caplog.text, f"train/{other.key}", f"train/{step.key}")


def test_a_spec_that_does_not_hash_to_the_key_is_damage(store, step, publish, caplog):
    place = publish(step).path / "manifest.json"
    manifest = read_json(place)
    manifest["spec"]["config"]["lr"] = 0.9
    del manifest["manifest_sha256"]
    write_json(place, manifest | {"manifest_sha256": hash_json(manifest)})

    assert store.find(step) is None
    assert f"a spec of key {step.key}" in caplog.text


def test_without_verification_sizes_still_count(store, step, publish):
    artifact = publish(step)
    trusting = Store(store.root, verify=False)

    flip(artifact.path / "weights", 0)
    assert trusting.find(step) is not None
    os.truncate(artifact.path / "weights", 1)
    assert trusting.find(step) is None


def test_each_file_is_hashed_once_per_process(store, step, publish, monkeypatch):
    artifact = publish(step)
    os.utime(artifact.path / "weights", (1, 1))
    hashed = []

    def count(path):
        hashed.append(path)
        return original(path)

    original = digest_module.sha256_file
    monkeypatch.setattr(digest_module, "sha256_file", count)
    for _ in range(3):
        assert Store(store.root).find(step) is not None

    assert hashed == [artifact.path / "weights"]


def test_a_change_right_after_publication_is_seen_despite_coarse_time_stamps(step, store, publish):
    path = publish(step).path / "weights"
    status = path.stat()

    flip(path, 0)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert store.find(step) is None


def test_files_that_operating_systems_leave_behind_are_no_damage(store, step, publish):
    (publish(step).path / ".DS_Store").write_text("finder")

    assert store.find(step) is not None
