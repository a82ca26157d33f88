"""Words with vectors, and the n-grams that give vectors to words never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import embedding_bag

from franken.errors import ArtifactError, CompatibilityError
from franken.files import read_json, write_json
from franken.word_vectors.common.ngrams import hashed_ngrams


@dataclass
class VectorSpace:
    """Vectors of words, the most frequent word first.

    fastText's rule (Bojanowski et al. 2017): a known word has its own vector, which training has
    already joined with its n-grams; an unknown one has the mean vector of its n-grams.
    """

    words: list[str]
    """``n`` distinct words."""
    vectors: Tensor
    """``(n, d)`` float32."""
    counts: Tensor | None = None
    """``(n,)`` int64 occurrences in the text that the vectors come from, where they are known."""
    ngrams: Tensor | None = None
    """``(buckets, d)`` float32 vectors of hashed n-grams, if any; with ``slots`` ``(used, d)``."""
    min_n: int = 0
    max_n: int = 0
    """Lengths of n-grams in characters, the marks ``<`` and ``>`` around a word counted."""
    slots: Tensor | None = None
    """``(used,)`` int64, ascending: the buckets that ``ngrams`` has, where it has not all. The rest
    were never trained (fastText keeps their initial noise); n-grams that fall there say nothing."""
    buckets: int = 0
    """Number of buckets, where ``slots`` are given."""

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        shape = tuple(self.vectors.shape)
        if len(shape) != 2 or shape[0] != len(self.words):
            raise CompatibilityError(f"{len(self.words)} words have vectors of shape {shape}")
        if self.counts is not None and tuple(self.counts.shape) != shape[:1]:
            raise CompatibilityError(f"{shape[0]} words have {len(self.counts)} counts")
        if self.ngrams is not None and self.ngrams.shape[1] != shape[1]:
            raise CompatibilityError(
                f"words have {shape[1]} dimensions, n-grams {self.ngrams.shape[1]}"
            )

    @property
    def dim(self) -> int:
        """``d``."""
        return self.vectors.shape[1]

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> row of ``vectors``."""
        return {word: row for row, word in enumerate(self.words)}

    def lookup(self, words: Sequence[str], *, ngrams: bool = True) -> tuple[Tensor, Tensor]:
        """Vectors of some words.

        Args:
            words: any strings.
            ngrams: whether n-grams serve unknown words, where the space has them.

        Returns:
            ``(m, d)`` vectors and ``(m,)`` bool: whether there is one that is not zero. Others are
            zero rows.
        """
        rows = torch.tensor([self.index.get(word, -1) for word in words], dtype=torch.int64)
        known = rows >= 0
        vectors = torch.zeros(len(words), self.dim)
        vectors[known] = self.vectors[rows[known]]
        if ngrams and self.ngrams is not None and not bool(known.all()):
            unknown = (~known).nonzero().flatten().tolist()
            vectors[unknown] = self._guessed([words[row] for row in unknown])
        return vectors, (vectors != 0).any(1)

    def transformed(self, matrix: Tensor) -> "VectorSpace":
        """The same words with ``vectors @ matrix``; n-grams too, as both are linear."""
        ngrams = None if self.ngrams is None else self.ngrams @ matrix
        return replace(self, vectors=self.vectors @ matrix, ngrams=ngrams)

    def save(self, directory: Path) -> None:
        """Write ``vectors.safetensors`` and ``space.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {
            "vectors": self.vectors, "counts": self.counts, "ngrams": self.ngrams,
            "slots": self.slots,
        }  # fmt: skip
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None},
            directory / "vectors.safetensors",
        )
        sizes = {"min_n": self.min_n, "max_n": self.max_n, "buckets": self.buckets}
        content = {"words": self.words, **sizes}
        write_json(directory / "space.json", content)

    @staticmethod
    def load(directory: Path) -> "VectorSpace":
        """Read a space back.

        Raises:
            ArtifactError: where a file is missing or damaged.
        """
        try:
            content = read_json(directory / "space.json")
            tensors = load_file(directory / "vectors.safetensors")
            return VectorSpace(
                content["words"],
                tensors["vectors"],
                tensors.get("counts"),
                tensors.get("ngrams"),
                content["min_n"],
                content["max_n"],
                tensors.get("slots"),
                content.get("buckets", 0),
            )
        except (OSError, ValueError, KeyError, SafetensorError, CompatibilityError) as error:
            raise ArtifactError(
                f"the word vectors in {directory} cannot be read ({error}); delete the artefact, "
                "the step that makes it is redone"
            ) from error

    def _guessed(self, words: Sequence[str]) -> Tensor:
        """``(m, d)`` mean n-gram vectors; zero rows for words without any."""
        assert self.ngrams is not None
        buckets = len(self.ngrams) if self.slots is None else self.buckets
        flat, ends = map(torch.from_numpy, hashed_ngrams(words, self.min_n, self.max_n, buckets))
        if self.slots is not None:
            place = torch.searchsorted(self.slots, flat).clamp(max=max(len(self.slots) - 1, 0))
            found = self.slots[place] == flat if len(self.slots) else flat < 0
            ends = torch.cat([ends[:1], found.long().cumsum(0)])[ends]
            flat = place[found]
        return embedding_bag(flat, self.ngrams, ends, mode="mean", include_last_offset=True)


def save_spaces(spaces: Mapping[str, VectorSpace], directory: Path) -> None:
    """Write each space to ``directory/key``."""
    for key, space in spaces.items():
        space.save(directory / key)


def load_spaces(directory: Path) -> dict[str, VectorSpace]:
    """Read all spaces of a folder.

    Raises:
        ArtifactError: where it holds none, or one is damaged.
    """
    found = sorted(file.parent for file in directory.glob("*/space.json"))
    if not found:
        raise ArtifactError(f"{directory} holds no word vectors (expected */space.json)")
    return {folder.name: VectorSpace.load(folder) for folder in found}
