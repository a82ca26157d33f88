"""The store: find the result of a step, or make it once."""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError
from franken.store.artifact import Artifact
from franken.store.disk import disk_faults, megabytes
from franken.store.key import KEY_PATTERN, RESERVED_KINDS, StepKey
from franken.store.lock import KeyLock
from franken.store.manifest import write_manifest
from franken.store.root import claim_root
from franken.store.tree import sync, sync_below
from franken.store.verify import Fault, inspect

logger = logging.getLogger(__name__)

Build = Callable[[Path], "dict[str, Any] | None"]


class Store:
    """Artefacts below one directory, ``<root>/<kind>/<key>/``.

    Beside them: ``locks/``, ``scratch/<key>/`` (unfinished work that may be resumed),
    ``damaged/`` (artefacts that failed their check) and ``franken-store.json``, which says that
    the directory is a store. Any number of processes may share it.

    Args:
        root: directory of the store; made when first written to.
        verify: compare the sha256 of every file on read (each once per process); otherwise only
            presence and sizes.
    """

    def __init__(self, root: Path, *, verify: bool = True) -> None:
        self.root = Path(root)
        self.verify = verify

    def path_of(self, step: StepKey) -> Path:
        """Where the artefact of ``step`` is, or will be."""
        return self.root / step.kind / step.key

    def find(self, step: StepKey) -> Artifact | None:
        """The artefact of a step, checked, or None.

        A damaged one is reported as a warning, moved to ``damaged/`` and not returned.

        Raises:
            ArtifactError: where the store is there but cannot be read.
        """
        with disk_faults(f"reading {step.kind}/{step.short}", self.root):
            artifact, faults = self._read(step)
            if not faults:
                return artifact
            lock = self._lock(step, f"check of {step.kind}/{step.short}")
            try:
                held = lock.acquire(wait=False)
            except OSError:  # a store that may only be read
                held = False
            if not held:
                self._warn(step, faults, "left where it is")
                return None
            try:
                return self._read_or_set_aside(step)
            finally:
                lock.release()

    def produce(self, step: StepKey, build: Build, *, label: str = "") -> Artifact:
        """The artefact of a step: found, waited for, or built.

        Args:
            step: what is asked for.
            build: writes the files into the empty directory it is given, on this file system;
                may return facts for ``manifest["meta"]`` (``device`` there overrides the guess).
                Hard links and symlinks to files that stay are fine.
            label: what people call the step.

        Raises:
            ArtifactError: on a full disk or a store that cannot be written. Whatever ``build``
                raises passes through. Either way nothing is published and ``scratch`` is kept.
        """
        label = label or step.kind
        found = self.find(step)
        if found is not None:
            self._drop_stale_scratch(step)
            return found
        with disk_faults(f"preparing {label!r}", self.root):
            claim_root(self.root)
            with self._lock(step, label) as lock:
                found = self._read_or_set_aside(step)
                if found is not None:
                    return found
                return self._build(step, build, label, lock)

    def scratch(self, step: StepKey) -> Path:
        """A directory for unfinished work of a step.

        It survives a crash and is removed when the artefact is published. Only the builder of the
        step may use it.
        """
        place = self._scratch_path(step)
        with disk_faults(f"preparing the scratch directory of {step.kind}", self.root):
            claim_root(self.root)
            place.mkdir(parents=True, exist_ok=True)
        return place

    def entries(self) -> Iterator[Artifact]:
        """All artefacts whose manifest can be trusted, by kind and key; files are not checked."""
        for place in self.places():
            manifest, faults = inspect(place, contents=False)
            if manifest is not None:
                yield Artifact(place.parent.name, place.name, place, manifest)
            else:
                logger.warning("not listed: %s", faults[0])

    def places(self) -> Iterator[Path]:
        """Directories where artefacts stand, sound or not, by kind and key."""
        if not self.root.is_dir():
            return
        for kind in sorted(self.root.iterdir()):
            if kind.is_dir() and kind.name not in RESERVED_KINDS:
                yield from sorted(p for p in kind.iterdir() if KEY_PATTERN.fullmatch(p.name))

    def _build(self, step: StepKey, build: Build, label: str, lock: KeyLock) -> Artifact:
        """Build and publish; the lock is held."""
        final = self.path_of(step)
        self._remove_leftovers(step)
        work = final.with_name(f".tmp-{step.key}-{uuid.uuid4().hex[:8]}")
        try:
            with disk_faults(f"building {label!r}", self.root, work):
                work.mkdir(parents=True)
                started = time.monotonic()
                meta = build(work)
                seconds = time.monotonic() - started
                sync_below(work)
                manifest = write_manifest(work, step, label=label, seconds=seconds, meta=meta)
                sync(work)
                lock.confirm()
                os.rename(work, final)
                sync(final.parent)
                sync(self.root)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        self._drop_scratch(step)
        artifact = Artifact(step.kind, step.key, final, manifest, fresh=True)
        count, size = len(manifest["files"]), megabytes(artifact.size)
        logger.info("built %s in %.1f s: %d files, %s, %s", label, seconds, count, size, final)
        return artifact

    def _read(self, step: StepKey) -> tuple[Artifact | None, list[Fault]]:
        place = self.path_of(step)
        if not os.path.lexists(place):
            return None, []
        manifest, faults = inspect(place, contents=self.verify)
        if manifest is None or faults:
            return None, faults
        return Artifact(step.kind, step.key, place, manifest), []

    def _read_or_set_aside(self, step: StepKey) -> Artifact | None:
        """Read under the lock; what is damaged goes to ``damaged/``."""
        artifact, faults = self._read(step)
        if not faults:
            return artifact
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = self.root / "damaged" / f"{step.kind}-{step.key}-{stamp}"
        aside.parent.mkdir(exist_ok=True)
        os.rename(self.path_of(step), aside)
        self._warn(step, faults, f"moved to {aside}")
        return None

    def _warn(self, step: StepKey, faults: list[Fault], fate: str) -> None:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        listed = "; ".join(map(str, faults[:3])) + more
        logger.warning(
            "artefact %s/%s is damaged and is not used: %s. It was %s; the step is done again.",
            step.kind,
            step.short,
            listed,
            fate,
        )

    def _lock(self, step: StepKey, label: str) -> KeyLock:
        note = {"label": label, "key": step.key, "inputs": sorted(step.inputs.values())}
        return KeyLock(self.root / "locks" / f"{step.key}.lock", note)

    def _remove_leftovers(self, step: StepKey) -> None:
        """Directories that dead builders of this key left; we hold the lock, so none is alive."""
        for left in self.path_of(step).parent.glob(f".tmp-{step.key}-*"):
            logger.info("removing %s, left by a process that ended without finishing", left)
            shutil.rmtree(left, ignore_errors=True)

    def _scratch_path(self, step: StepKey) -> Path:
        return self.root / "scratch" / step.key

    def _drop_stale_scratch(self, step: StepKey) -> None:
        """Scratch that outlived its artefact's publication: the builder died in between."""
        if not self._scratch_path(step).exists():
            return
        lock = self._lock(step, f"cleaning of {step.kind}/{step.short}")
        try:
            if lock.acquire(wait=False):
                self._drop_scratch(step)
        except OSError as error:
            logger.debug("scratch of %s stays: %s", step.short, error)
        finally:
            lock.release()

    def _drop_scratch(self, step: StepKey) -> None:
        """Rename, then remove: a half-removed directory must never be resumed from."""
        place = self._scratch_path(step)
        trash = place.with_name(f".trash-{step.key}-{uuid.uuid4().hex[:8]}")
        try:
            os.rename(place, trash)
        except FileNotFoundError:
            return
        except OSError as error:
            logger.warning("scratch %s could not be removed: %s", place, error)
            return
        shutil.rmtree(trash, ignore_errors=True)


def resolve(store: Store, prefix: str) -> Artifact:
    """The one artefact whose key begins with ``prefix`` (``kind/key`` is understood too).

    Raises:
        ArtifactError: where none or several do, with those that come near.
    """
    kind, _, start = prefix.rpartition("/")
    entries = list(store.entries())
    hits = [a for a in entries if a.key.startswith(start) and kind in ("", a.kind)]
    if len(hits) == 1:
        return hits[0]
    lines = [f"  {a.kind}/{a.short}  {a.label}  {a.created}" for a in (hits or entries)[:10]]
    rest = len(hits or entries) - len(lines)
    listing = "\n".join(lines + ([f"  ... and {rest} more"] if rest else []))
    if hits:
        raise ArtifactError(
            f"{len(hits)} artefacts have a key that begins with {prefix!r}; give more digits:\n"
            f"{listing}"
        )
    if not entries:
        raise ArtifactError(
            f"no artefact has a key that begins with {prefix!r}: the store {store.root} is empty. "
            "Is --root right?"
        )
    raise ArtifactError(
        f"no artefact of {store.root} has a key that begins with {prefix!r}; it holds:\n{listing}"
    )
