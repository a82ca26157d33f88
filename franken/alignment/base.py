"""What every aligner has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from franken.alignment.common.table import WordTable
    from franken.data.source import Pair


class Direction(StrEnum):
    """Which way a one-way model looks."""

    s2t = "s2t"
    """p(target | source): each target word picks a source word."""
    t2s = "t2s"
    """p(source | target): each source word picks a target word."""


class Symmetry(StrEnum):
    """How the links of both directions become one set."""

    none = "none"
    """One direction only."""
    intersect = "intersect"
    union = "union"
    grow_diag_final_and = "grow_diag_final_and"


class Similarity(StrEnum):
    """How alike two states are."""

    dot = "dot"
    """Their product, as in awesome-align."""
    cosine = "cosine"


class Extraction(StrEnum):
    """Which tokens of two sentences are linked."""

    softmax = "softmax"
    """Those above a threshold when similarities are shared out over either sentence."""
    argmax = "argmax"
    """Each the other's nearest (SimAlign)."""


@dataclass
class Alignment:
    """Counts word pairs of sentence pairs; depends on no tokenizer and no model."""

    reads_text: ClassVar[bool] = True
    """Whether it aligns the parallel text of the data; false where it has files of its own."""

    reads_model: ClassVar[bool] = False
    """Whether it reads the states of a model, so that ``align_by`` is called instead."""

    name: str = ""
    """The aligner."""

    def paths(self, language: str) -> dict[str, Path]:
        """Field -> file that is read for a language; its content is in the step's key."""
        return {}

    def align(self, pairs: Iterable[Pair], language: str) -> WordTable:
        """Count the word pairs of one language.

        Args:
            pairs: sentence pairs, source first; read once.
            language: the target language, for messages and for the names of files.

        Raises:
            DataError: where the text is empty, or the aligner lacks something.
        """
        raise NotImplementedError(f"{type(self).__name__} is no aligner of its own")

    def align_by(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Iterable[Pair],
        language: str,
    ) -> WordTable:  # fmt: skip
        """As :meth:`align`, by the states of a model."""
        raise NotImplementedError(f"{type(self).__name__} reads no model")
