"""Options of initialisers that read what was made elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from franken.config.checks import in_range
from franken.config.init_method.base import Fallback, InitMethodConfig


class TokenSpelling(StrEnum):
    """How a file spells its tokens."""

    exact = "exact"
    """As the target tokenizer does."""
    byte_level = "byte_level"
    """One letter per byte, ``Ġhouse``, ``Ã©`` (GPT-2, ZeTT)."""
    sentencepiece = "sentencepiece"
    """``▁house``, ``<0xE3>``."""


@dataclass
class FromFileInit(InitMethodConfig):
    """Rows or a token map made elsewhere: a ZeTT or HyperOFA output, the map of another run."""

    name: str = "from_file"
    path: str = ""
    """A token map's directory, or a safetensors file with ``input`` and, where the model is untied,
    ``output`` (and ``output_bias``)."""
    copy_overlap: bool = False
    """Rows of shared pieces are copied from the source instead of read from the file."""
    tokens: str | None = None
    """JSON list of the file's tokens, row by row; null: row i belongs to token id i."""
    spelling: TokenSpelling = TokenSpelling.exact
    """How ``tokens`` are spelled; other than exact, they are matched by their bytes."""
    keep_special: bool = True
    """Control tokens take the source's rows by role, whatever the file has for them."""
    zero_is_missing: bool = False
    """Rows of zeros mean that the file has none (HyperOFA)."""
    extra_rows: bool = False
    """Allow a file without ``tokens`` to have more rows than the tokenizer has ids (padding)."""
    min_share: float = 0.5
    """Share of the new pieces that the file must have; a lower one means the wrong file."""
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the file lacks."""
    map_alone: bool = False
    """Take a stored map for what it says, although the rows of its run were trained afterwards or
    folded from factors; refused otherwise."""

    def paths(self) -> dict[str, str]:
        return {"path": self.path} | ({"tokens": self.tokens} if self.tokens else {})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("min_share", self.min_share, 0.0, 1.0)


OPTIONS: dict[str, type[InitMethodConfig]] = {"from_file": FromFileInit}
