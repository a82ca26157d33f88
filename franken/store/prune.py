"""Removing what nothing needs, planned before it is done."""

import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from franken.store.graph import Graph
from franken.store.key import KEY_PATTERN, RESERVED_KINDS
from franken.store.lock import KeyLock, read_note
from franken.store.root import require_store
from franken.store.runs import keys_of_runs
from franken.store.store import Store
from franken.store.tree import own_bytes

logger = logging.getLogger(__name__)

_LEFTOVER = re.compile(r"\.(?:tmp|trash)-([0-9a-f]{32})-.+")
_DAMAGED = re.compile(r".+-([0-9a-f]{32})-\d{8}T\d{6}\.\d+Z")


@dataclass(frozen=True)
class Policy:
    """What to keep and what to remove.

    Artefacts are touched only where ``runs``, ``keep_kinds`` or ``older_than_days`` is given; then
    all go that are not needed, however indirectly, by one that stays.
    """

    runs: tuple[Path, ...] = ()
    """Directories of runs; what they refer to stays."""
    keep_kinds: tuple[str, ...] = ()
    """Artefacts of these kinds stay."""
    older_than_days: float | None = None
    """Artefacts younger than this stay; 0 spares none."""
    scratch: bool = False
    """Also remove unfinished work, which could have been resumed."""
    damaged: bool = False
    """Also remove artefacts that were moved aside as damaged."""

    @property
    def touches_artifacts(self) -> bool:
        """Whether artefacts are up for removal at all."""
        return bool(self.runs or self.keep_kinds) or self.older_than_days is not None


@dataclass(frozen=True)
class Removal:
    """One directory to remove."""

    path: Path
    key: str
    what: str
    """``artefact``, ``scratch``, ``damaged`` or ``leftover``."""
    label: str
    size: int
    """Bytes freed; links to elsewhere not counted."""


@dataclass(frozen=True)
class Plan:
    """What ``prune`` would remove, and what it keeps."""

    removals: tuple[Removal, ...]
    kept: int
    unknown: tuple[str, ...]
    """Keys that runs refer to and the store does not hold."""

    @property
    def size(self) -> int:
        """Bytes freed by all removals."""
        return sum(removal.size for removal in self.removals)


def plan_prune(store: Store, policy: Policy, *, now: datetime | None = None) -> Plan:
    """Decide what to remove; changes nothing.

    What a living process builds, and what it builds from, always stays.

    Raises:
        ArtifactError: where the root is no store, or a directory of runs names nothing.
    """
    require_store(store.root)
    graph = Graph(store)
    busy = _busy_keys(store.root)
    named = keys_of_runs(policy.runs)
    keep = set(graph.artifacts)
    if policy.touches_artifacts:
        keep = graph.reachable(busy | named | _young_or_kept(graph, policy, now))
    removals = [
        Removal(a.path, key, "artefact", f"{a.kind}: {a.label}", a.own_size)
        for key, a in graph.artifacts.items()
        if key not in keep
    ]
    removals += [item for item in _rest(store.root, policy) if item.key not in busy]
    unknown = tuple(sorted(named - set(graph.artifacts)))
    return Plan(tuple(removals), len(keep & set(graph.artifacts)), unknown)


def _young_or_kept(graph: Graph, policy: Policy, now: datetime | None) -> set[str]:
    kept = {key for key, a in graph.artifacts.items() if a.kind in policy.keep_kinds}
    if policy.older_than_days is not None:
        limit = (now or datetime.now(UTC)) - timedelta(days=policy.older_than_days)
        kept |= {
            key
            for key, artifact in graph.artifacts.items()
            if datetime.fromisoformat(artifact.created) > limit
        }
    return kept


def _busy_keys(root: Path) -> set[str]:
    """Keys that living processes hold, with the inputs they build from."""
    busy: set[str] = set()
    for path in sorted((root / "locks").glob("*.lock")):
        note = read_note(path)
        lock = KeyLock(path, {})
        if not note:  # released in good order
            continue
        if lock.acquire(wait=False):
            lock.release()
        else:
            busy |= {path.stem, *note.get("inputs", [])}
    return busy


def _rest(root: Path, policy: Policy) -> Iterator[Removal]:
    """Leftovers of dead processes, and scratch and damaged where asked for."""
    for kind in sorted(root.iterdir()):
        if kind.is_dir() and (kind.name not in RESERVED_KINDS or kind.name == "scratch"):
            for path in sorted(kind.iterdir()):
                if match := _LEFTOVER.fullmatch(path.name):
                    yield _removal(path, match[1], "leftover")
                elif policy.scratch and kind.name == "scratch" and KEY_PATTERN.fullmatch(path.name):
                    yield _removal(path, path.name, "scratch")
        elif policy.damaged and kind.name == "damaged":
            for path in sorted(kind.iterdir()):
                if match := _DAMAGED.fullmatch(path.name):
                    yield _removal(path, match[1], "damaged")


def _removal(path: Path, key: str, what: str) -> Removal:
    return Removal(path, key, what, path.name, own_bytes(path))


def apply_prune(store: Store, plan: Plan) -> list[Removal]:
    """Carry out a plan; returns what was removed.

    Each directory is renamed first, under the lock of its key, so that no reader sees half of it;
    what has become busy since the plan is skipped.

    Raises:
        ArtifactError: where the root is no store.
    """
    require_store(store.root)
    done = []
    busy = Graph(store).reachable(_busy_keys(store.root))
    for removal in plan.removals:
        lock = KeyLock(store.root / "locks" / f"{removal.key}.lock", {"label": "prune"})
        if removal.key in busy or not lock.acquire(wait=False):
            logger.warning("%s is in use; left where it is", removal.path)
            continue
        try:
            if _remove(removal):
                done.append(removal)
        finally:
            lock.remove()
    return done


def _remove(removal: Removal) -> bool:
    trash = removal.path.with_name(f".trash-{removal.key}-{uuid.uuid4().hex[:8]}")
    try:
        os.rename(removal.path, trash)
    except FileNotFoundError:
        return False
    except OSError as error:
        logger.warning("%s could not be removed: %s", removal.path, error)
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True
