"""Options of initialisers that read a dictionary."""

from collections.abc import Iterator
from dataclasses import dataclass

from franken.config.checks import at_least
from franken.config.init_method.base import Fallback, InitMethodConfig, Need


@dataclass
class LexiconInit(InitMethodConfig):
    """Mean of the source rows of a word's dictionary translations."""

    name: str = "lexicon"
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the lexicon does not know."""
    prefix_min_chars: int = 0
    """When > 0, a word-initial piece of at least so many characters that no entry equals takes the
    mean of the entries it begins (stems of inflected words), each weighted by the share of its
    letters that the piece has; 0 means exact entries only."""
    stem_min_chars: int = 0
    """When > 0, a word-initial piece that no entry equals takes the longest entry of at least so
    many characters that begins it (inflected forms of listed words); tried before
    prefix_min_chars."""
    internal_min_chars: int = 3
    """Pieces without a leading space count as words from this length on: shorter ones are mostly
    parts of words. 1 suits scripts that write no spaces."""
    lexicon_first: bool = False
    """Whether shared pieces that are words of the lexicon take their translation instead of their
    copy. Indonesian "air" (water) gains, and English "air" loses its row."""

    def needs(self) -> frozenset[Need]:
        return frozenset({Need.lexicon})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("prefix_min_chars", self.prefix_min_chars, 0)
        yield from at_least("stem_min_chars", self.stem_min_chars, 0)
        yield from at_least("internal_min_chars", self.internal_min_chars, 1)


OPTIONS: dict[str, type[InitMethodConfig]] = {"lexicon": LexiconInit}
