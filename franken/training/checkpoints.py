"""Resumable checkpoints of one training run: written whole or not at all, read only when sound.

``step-00000200.pt`` holds tensors and plain data (loads with ``weights_only=True``); its sidecar
``step-00000200.json`` (size and sha256) is written last. A checkpoint without a matching sidecar
does not exist; the newest sound one counts. A sharded run writes a folder ``step-00000200``:
plain data in ``plain.pt``, and each process's rows beside it (``shards.py``).
"""

import contextlib
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from franken.errors import ArtifactError
from franken.files import read_json, sha256_file, write_json

log = logging.getLogger(__name__)

KEEP = 2
"""Newest checkpoints kept: one may turn out damaged."""
PLAIN = "plain.pt"
_NAME = re.compile(r"(step|best)-(\d{8})(\.pt)?")
_PLAIN = (str, int, float, bool, bytes, type(None), torch.Tensor)


class CheckpointFolder:
    """Checkpoints (``step``) and selected weights (``best``) of one run.

    Args:
        directory: made when absent; nothing else should live there.
        identity: what the run is (hash); checkpoints of another run are refused.
    """

    def __init__(self, directory: Path, identity: str) -> None:
        self.directory, self.identity = directory, identity
        directory.mkdir(parents=True, exist_ok=True)
        for leftover in directory.glob(".*.tmp"):
            _remove_path(leftover)

    def save(
        self, kind: str, step: int, content: Mapping[str, Any], *, best_step: int | None = None
    ) -> Path:
        """Write one file and its sidecar; returns after both are on the disk.

        ``best_step`` names the selected weights that this checkpoint refers to.
        """
        path = self._path(kind, step).with_suffix(".pt")
        scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        with self._writing(kind, step, path, scratch):
            _write_plain(scratch, content, kind)
            seal = [scratch.stat().st_size, sha256_file(scratch)]
            self._remove(kind, step)
            os.replace(scratch, path)
            self._seal(path, step, best_step, size=seal[0], sha256=seal[1])
        return path

    def save_sharded(
        self,
        kind: str,
        step: int,
        content: Mapping[str, Any],
        tensors: dict[str, Tensor],
        token: str,
        *,
        best_step: int | None = None,
    ) -> Path:
        """As :meth:`save`, of sharded tensors; a collective call.

        Args:
            kind: ``step`` or ``best``.
            step: number of steps done.
            content: plain data; the first process's count.
            tensors: name -> tensor, each process with its rows.
            token: the same in all processes and for no two calls.
            best_step: the selected weights that this checkpoint refers to.
        """
        from torch import distributed

        from franken.training.shards import write_shards

        path = self._path(kind, step)
        scratch = path.with_name(f".{path.name}.{token}.tmp")
        first = distributed.get_rank() == 0
        with self._writing(kind, step, path, scratch):
            scratch.mkdir(exist_ok=True)
            files = write_shards(scratch, tensors)
            if first:
                plain = scratch / PLAIN
                _write_plain(plain, content, kind)
                files[PLAIN] = [plain.stat().st_size, sha256_file(plain)]
                self._remove(kind, step)
                os.replace(scratch, path)
                self._seal(path, step, best_step, files=files)
            distributed.barrier()
        return path

    @contextlib.contextmanager
    def _writing(self, kind: str, step: int, path: Path, scratch: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ArtifactError(
                f"cannot write the checkpoint of step {step} to {path}: {error.strerror or error}. "
                "Free space or choose another store.path; the run resumes from the checkpoint "
                "before it"
            ) from error
        finally:
            with contextlib.suppress(OSError):
                _remove_path(scratch)

    def _seal(self, path: Path, step: int, best_step: int | None, **seals: Any) -> None:
        seal = {"best_step": best_step, "identity": self.identity, "step": step, **seals}
        write_json(self._sidecar(path), seal)

    def newest(self) -> dict[str, Any] | None:
        """The content of the newest sound checkpoint; damaged ones are reported and passed over."""
        for step in sorted(set(self._steps("step")), reverse=True):
            content = self.load("step", step)
            if content is not None:
                return content
        return None

    def load(self, kind: str, step: int) -> dict[str, Any] | None:
        """One checkpoint, verified; ``None`` (and a log line) when it is damaged or missing.

        That of a sharded run has under ``shards`` the folder where its tensors lie.
        """
        path = self._path(kind, step)
        try:
            seal = read_json(self._sidecar(path))
            if seal["identity"] != self.identity:
                raise ArtifactError(
                    f"{path} belongs to another training run (other config, weights or seed): "
                    f"{seal['identity']!r}, this one is {self.identity!r}. Remove "
                    f"{self.directory} or train in another directory"
                )
            if "files" in seal:
                for name, expected in seal["files"].items():
                    _check(path / name, *expected)
                shards = {"shards": str(path)}
            else:
                path, shards = path.with_suffix(".pt"), {}
                _check(path, seal["size"], seal["sha256"])
            place = path / PLAIN if shards else path
            content: dict[str, Any] = torch.load(place, map_location="cpu", weights_only=True)
            return {**content, **shards}
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            log.warning("checkpoint %s is not usable (%s); passing it over", path, error)
            return None

    def prune(self, best_step: int | None) -> None:
        """Keep the newest checkpoints, and the selected weights that they or the run point to."""
        steps = sorted(set(self._steps("step")))
        kept = steps[-KEEP:]
        needed = {best_step}
        for step in kept:
            with contextlib.suppress(OSError, ValueError):
                needed.add(read_json(self._sidecar(self._path("step", step)))["best_step"])
        for step in steps[:-KEEP]:
            self._remove("step", step)
        for step in list(self._steps("best")):
            if step not in needed:
                self._remove("best", step)

    def _steps(self, kind: str) -> Iterator[int]:
        for path in self.directory.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and match[1] == kind:
                yield int(match[2])

    def _path(self, kind: str, step: int) -> Path:
        return self.directory / f"{kind}-{step:08d}"

    def _sidecar(self, path: Path) -> Path:
        return path.with_suffix(".json")

    def _remove(self, kind: str, step: int) -> None:
        path = self._path(kind, step)
        self._sidecar(path).unlink(missing_ok=True)
        _remove_path(path)
        _remove_path(path.with_suffix(".pt"))


def _write_plain(path: Path, content: Mapping[str, Any], kind: str) -> None:
    _require_plain(content, kind)
    with open(path, "xb") as handle:
        torch.save(dict(content), handle)
        handle.flush()
        os.fsync(handle.fileno())


def _check(path: Path, size: int, sha256: str) -> None:
    if size != path.stat().st_size or sha256 != sha256_file(path):
        raise ValueError(f"size or sha256 of {path.name} differs from the sidecar")


def _remove_path(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _require_plain(value: Any, where: str) -> None:
    """Objects would make the file unloadable under ``weights_only=True``; find out at once."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _require_plain(key, where)
            _require_plain(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _require_plain(item, f"{where}[{index}]")
    elif not isinstance(value, _PLAIN):
        raise ArtifactError(
            f"checkpoint entry {where} is a {type(value).__name__}; only plain data and tensors "
            "can be stored: make state_dict() return dicts, lists, numbers and strings"
        )
