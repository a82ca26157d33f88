"""Pruning keeps what is needed and deletes nothing by accident."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from franken.errors import ArtifactError
from franken.store import StepKey, Store
from franken.store.lock import KeyLock
from franken.store.prune import Policy, apply_prune, plan_prune
from tests.faults import raises


@pytest.fixture
def chain(publish):
    """base -> adapted -> swapped, and ``other`` for itself."""
    base = StepKey.of("load", 1)
    adapted = StepKey.of("train", 1, inputs={"model": base})
    other = StepKey.of("train", 2)
    swapped = StepKey.of("swap", 1, inputs={"table": adapted})
    steps = {"base": base, "adapted": adapted, "other": other, "swapped": swapped}
    for name, step in steps.items():
        publish(step, label=name)
    return steps


def left_in(store):
    return {entry.label for entry in store.entries()}


def write_run(directory, name, *keys):
    directory.mkdir(parents=True)
    if name == "results.jsonl":
        lines = [json.dumps({"task": "x", "key": key}) for key in keys]
        (directory / name).write_text("\n".join([*lines, ""]))
    elif name == "mapping":
        (directory / "run.json").write_text(json.dumps({"keys": dict(enumerate(keys))}))
    else:
        (directory / name).write_text(json.dumps({"keys": list(keys)}))


@pytest.mark.parametrize("name", ["results.jsonl", "run.json", "mapping"])
def test_what_a_run_refers_to_stays_with_all_its_inputs(store, chain, tmp_path, name):
    write_run(tmp_path / "runs/2026/0", name, chain["swapped"].key)

    plan = plan_prune(store, Policy(runs=(tmp_path / "runs",)))

    assert [item.label for item in plan.removals] == ["train: other"]
    assert plan.kept == 3
    assert plan.size == 10
    apply_prune(store, plan)
    assert left_in(store) == {"base", "adapted", "swapped"}


def test_a_plan_changes_nothing(store, chain):
    before = sorted(store.root.rglob("*"))

    plan = plan_prune(store, Policy(older_than_days=0, scratch=True, damaged=True))

    assert len(plan.removals) == 4
    assert sorted(store.root.rglob("*")) == before


def test_without_a_rule_no_artefact_is_touched(store, chain):
    assert plan_prune(store, Policy(scratch=True, damaged=True)).removals == ()


def test_a_kept_kind_keeps_its_inputs(store, chain):
    apply_prune(store, plan_prune(store, Policy(keep_kinds=("swap",))))

    assert left_in(store) == {"base", "adapted", "swapped"}


def test_age_counts_from_creation_and_the_young_keep_their_inputs(store, chain):
    policy, now = Policy(older_than_days=2), datetime.now(UTC)

    assert plan_prune(store, policy, now=now).removals == ()
    assert len(plan_prune(store, policy, now=now + timedelta(days=3)).removals) == 4


def test_an_artefact_that_symlinks_lead_into_stays(store, publish, tmp_path):
    target, user = StepKey.of("load", 1), StepKey.of("swap", 1)
    shard = publish(target, label="target").file("weights")
    store.produce(user, lambda d: (d / "shard").symlink_to(shard), label="user")

    apply_prune(store, plan_prune(store, Policy(keep_kinds=("swap",))))

    assert left_in(store) == {"target", "user"}


def test_what_a_living_process_builds_from_stays(store, chain):
    busy = StepKey.of("evaluate", 1, inputs={"model": chain["adapted"]})
    seen = []

    def build(directory):
        store.scratch(busy)
        policy = Policy(older_than_days=0, scratch=True)
        seen.extend(apply_prune(store, plan_prune(store, policy)))

    store.produce(busy, build, label="score")

    assert {item.label for item in seen} == {"swap: swapped", "train: other"}
    assert left_in(store) == {"base", "adapted", "score"}


def test_what_became_busy_after_the_plan_is_spared(store, chain, caplog):
    plan = plan_prune(store, Policy(older_than_days=0))
    with KeyLock(store.root / "locks" / f"{chain['base'].key}.lock", {"label": "x"}):
        apply_prune(store, plan)

    assert left_in(store) == {"base"}
    assert "is in use" in caplog.text


def test_what_a_builder_began_to_read_after_the_plan_is_spared(store, chain):
    plan = plan_prune(store, Policy(older_than_days=0))
    note = {"label": "evaluate", "inputs": [chain["adapted"].key]}
    with KeyLock(store.root / "locks" / f"{'0' * 32}.lock", note):
        apply_prune(store, plan)

    assert left_in(store) >= {"adapted", "base"}


def test_scratch_damaged_and_leftovers_go_when_asked(store, chain, publish):
    lost = StepKey.of("train", 7)
    (store.scratch(lost) / "checkpoint").write_text("x" * 5)
    (store.root / "train" / f".tmp-{lost.key}-0badf00d").mkdir()
    (store.path_of(chain["other"]) / "weights").unlink()
    assert store.find(chain["other"]) is None

    def what(**options):
        return sorted(item.what for item in plan_prune(store, Policy(**options)).removals)

    assert what() == ["leftover"]
    assert what(scratch=True) == ["leftover", "scratch"]
    assert what(damaged=True) == ["damaged", "leftover"]
    apply_prune(store, plan_prune(store, Policy(scratch=True, damaged=True)))
    assert what(scratch=True, damaged=True) == []
    assert left_in(store) == {"base", "adapted", "swapped"}


def test_files_that_the_store_did_not_make_are_never_touched(store, chain):
    (store.root / "notes").mkdir()
    (store.root / "notes/thesis.tex").write_text("dear")
    (store.root / "scratch/mine").mkdir(parents=True)
    (store.root / "train/mine").mkdir()
    (store.root / "damaged/mine").mkdir(parents=True)

    apply_prune(store, plan_prune(store, Policy(older_than_days=0, scratch=True, damaged=True)))

    assert left_in(store) == set()
    assert (store.root / "notes/thesis.tex").exists()
    for folder in ("scratch", "train", "damaged"):
        assert (store.root / folder / "mine").exists()


def test_a_directory_without_the_marker_is_refused(tmp_path, store, chain):
    plan = plan_prune(store, Policy(older_than_days=0))
    (store.root / "franken-store.json").unlink()

    with raises(ArtifactError, store.root, "franken-store.json"):
        plan_prune(store, Policy(older_than_days=0))
    with raises(ArtifactError, store.root, "franken-store.json"):
        apply_prune(store, plan)
    with raises(ArtifactError, tmp_path / "nowhere", "--root"):
        plan_prune(Store(tmp_path / "nowhere"), Policy())
    assert left_in(store) == set(chain)


def test_a_directory_without_runs_is_refused(store, chain, tmp_path):
    (tmp_path / "typo").mkdir()

    with raises(ArtifactError, tmp_path / "typo", "run.json", "results.jsonl"):
        plan_prune(store, Policy(runs=(tmp_path / "typo",)))


@pytest.mark.parametrize(
    ("text", "found"),
    [("{", "'{'"), ("[1]", "'[1]'"), ("\ud83d", "0xed")],
    ids=["cut", "list", "encoding"],
)
def test_a_broken_record_stops_pruning_with_its_place(store, chain, tmp_path, text, found):
    write_run(tmp_path / "runs", "results.jsonl", chain["base"].key)
    with open(tmp_path / "runs/results.jsonl", "ab") as handle:
        handle.write(text.encode("utf-8", "surrogatepass"))

    with raises(ArtifactError, tmp_path / "runs/results.jsonl", found):
        plan_prune(store, Policy(runs=(tmp_path / "runs",)))


def test_keys_that_the_store_does_not_hold_are_counted(store, chain, tmp_path):
    write_run(tmp_path / "runs", "run.json", "0" * 32, chain["base"].key)

    assert plan_prune(store, Policy(runs=(tmp_path / "runs",))).unknown == ("0" * 32,)
