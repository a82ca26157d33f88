"""Word-pair counts of one language pair, as a value and as a directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from franken.alignment.common.sorting import in_order
from franken.errors import ArtifactError
from franken.files import read_json, sha256_file, write_atomically, write_json

COUNTS_FILE = "word_table.safetensors"
DESCRIPTION_FILE = "word_table.json"
SCHEMA = 1
_COLUMNS = ("pairs", "expected", "probability", "links", "source_spaced", "target_spaced")


@dataclass(frozen=True)
class WordTable:
    """How often words of two languages were each other's translations; NULL has no rows."""

    source: list[str]
    """Distinct source words."""
    target: list[str]
    """Distinct target words."""
    pairs: np.ndarray
    """``(P, 2)`` int32: number of a source word, number of a target word; sorted, distinct."""
    expected: np.ndarray
    """``(P,)`` float64 expected counts of the last E step; links where an aligner has none."""
    probability: np.ndarray
    """``(P,)`` float64 p(target | source)."""
    links: np.ndarray
    """``(P,)`` float64 counts of hard links."""
    source_spaced: np.ndarray
    """``(len(source),)`` float64: share of a word's occurrences that begin a string between
    spaces. Tells the contexts of ``house`` (1.0) from those of a comma (0.0)."""
    target_spaced: np.ndarray
    """``(len(target),)`` float64."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What the aligner has to say: its name, sentence pairs, likelihoods. Plain JSON."""

    def __len__(self) -> int:
        return len(self.pairs)

    @staticmethod
    def of(
        source: list[str],
        target: list[str],
        pairs: np.ndarray,
        expected: np.ndarray,
        probability: np.ndarray | None = None,
        links: np.ndarray | None = None,
        source_spaced: np.ndarray | None = None,
        target_spaced: np.ndarray | None = None,
        notes: dict[str, Any] | None = None,
    ) -> "WordTable":
        """A table in canonical form: pairs sorted, words that no pair has left out.

        Args:
            source: words that ``pairs[:, 0]`` numbers.
            target: words that ``pairs[:, 1]`` numbers.
            pairs: ``(P, 2)`` distinct.
            expected: ``(P,)``.
            probability: ``(P,)``; by default the share of ``expected`` among the source word's.
            links: ``(P,)``; by default ``expected``.
            source_spaced: by default every word follows a space.
            target_spaced: likewise.
            notes: what the aligner has to say.
        """
        source_spaced = np.ones(len(source)) if source_spaced is None else source_spaced
        target_spaced = np.ones(len(target)) if target_spaced is None else target_spaced
        left, s_kept, s_new = _renumbered(source, pairs[:, 0])
        right, t_kept, t_new = _renumbered(target, pairs[:, 1])
        if probability is None:
            totals = np.bincount(pairs[:, 0], expected, minlength=len(source))
            probability = expected / np.maximum(totals, np.finfo(float).tiny)[pairs[:, 0]]
        links = expected if links is None else links
        _, order = in_order(s_new * len(right) + t_new)
        return WordTable(
            left,
            right,
            np.stack([s_new, t_new], axis=1)[order].astype(np.int32),
            np.asarray(expected, np.float64)[order],
            np.asarray(probability, np.float64)[order],
            np.asarray(links, np.float64)[order],
            source_spaced[s_kept],
            target_spaced[t_kept],
            notes or {},
        )

    def save(self, directory: Path) -> None:
        """Write ``word_table.safetensors`` and ``word_table.json``, the latter last."""
        directory = Path(directory)
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in _COLUMNS}
        for name in ("source", "target"):
            tensors[f"{name}_words"], tensors[f"{name}_ends"] = _packed(getattr(self, name))
        write_atomically(directory / COUNTS_FILE, save(tensors))
        write_json(
            directory / DESCRIPTION_FILE,
            {
                "kind": "word_table",
                "schema": SCHEMA,
                "pairs": len(self),
                "source_words": len(self.source),
                "target_words": len(self.target),
                "notes": self.notes,
                "sha256": sha256_file(directory / COUNTS_FILE),
            },
        )

    @staticmethod
    def load(directory: Path) -> "WordTable":
        """Read a table back.

        Raises:
            ArtifactError: where files are missing, damaged, or hold no word table.
        """
        directory = Path(directory)
        path, about = directory / COUNTS_FILE, directory / DESCRIPTION_FILE
        if not path.is_file() or not about.is_file():
            raise ArtifactError(f"{directory} holds no word table; align the parallel text again")
        try:
            description = read_json(about)
            if description["kind"] != "word_table" or description["schema"] != SCHEMA:
                raise ArtifactError(f"{about} describes no word table of schema {SCHEMA}")
            if description["sha256"] != sha256_file(path):
                raise ArtifactError(f"{path} is damaged; align the parallel text again")
            tensors = load(path.read_bytes())
            words = {
                name: _unpacked(tensors[f"{name}_words"], tensors[f"{name}_ends"])
                for name in ("source", "target")
            }
            columns: dict[str, Any] = {**words, **{name: tensors[name] for name in _COLUMNS}}
            return WordTable(**columns, notes=description["notes"])
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise ArtifactError(f"{directory} holds no readable word table: {error!r}") from error


def _renumbered(words: list[str], used: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Used words in order of the alphabet, their old numbers, and the new numbers of ``used``."""
    seen = np.flatnonzero(np.bincount(used, minlength=len(words)))
    kept = np.array(sorted(seen.tolist(), key=lambda index: words[index]), dtype=np.int64)
    new = np.zeros(len(words), dtype=np.int64)
    new[kept] = np.arange(len(kept))
    return [words[index] for index in kept.tolist()], kept, new[used]


def _packed(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    data = [word.encode() for word in words]
    ends = np.cumsum([0, *map(len, data)], dtype=np.int64)
    return np.frombuffer(b"".join(data), dtype=np.uint8), ends


def _unpacked(blob: np.ndarray, ends: np.ndarray) -> list[str]:
    data = blob.tobytes()
    return [data[start:stop].decode() for start, stop in pairwise(ends.tolist())]


def save_tables(tables: Mapping[str, WordTable], directory: Path) -> None:
    """Write one folder per target language."""
    for language, table in tables.items():
        table.save(Path(directory) / language)


def load_tables(directory: Path) -> dict[str, WordTable]:
    """Read what :func:`save_tables` wrote: target language -> table, sorted by language."""
    found = sorted(Path(directory).glob(f"*/{DESCRIPTION_FILE}"))
    return {path.parent.name: WordTable.load(path.parent) for path in found}
