"""Lexicons of several languages as one dictionary from target words to source words."""

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property

from franken.token_map.resources import Lexicon


class Dictionary:
    """Looks target words up: as they are, in another case, as stems, as beginnings.

    Words are compared in Unicode form NFC. Translations of all languages are pooled; a pair that
    occurs twice counts once.
    """

    def __init__(self, lexicons: Mapping[str, Lexicon]) -> None:
        """Merge the lexicons.

        Args:
            lexicons: target language -> pairs (source word, target word).
        """
        self._exact: dict[str, dict[str, None]] = {}
        self._folded: dict[str, dict[str, None]] = {}
        for language in sorted(lexicons):
            for source_word, target_word in lexicons[language]:
                source, target = source_word.strip(), nfc(target_word.strip())
                if source and target:
                    self._exact.setdefault(target, {})[source] = None
                    self._folded.setdefault(target.lower(), {})[source] = None

    def __len__(self) -> int:
        return len(self._exact)

    def exact(self, word: str) -> list[str]:
        """Translations of the word as it is spelled."""
        return list(self._exact.get(nfc(word), ()))

    def recased(self, word: str) -> list[str]:
        """Translations of the word in any case."""
        return list(self._folded.get(nfc(word).lower(), ()))

    def stem(self, word: str, min_chars: int) -> list[str]:
        """Translations of the longest entry of at least ``min_chars`` that begins the word."""
        folded = nfc(word).lower()
        for length in range(len(folded) - 1, min_chars - 1, -1):
            if folded[:length] in self._folded:
                return list(self._folded[folded[:length]])
        return []

    def beginnings(self, word: str) -> list[tuple[str, float]]:
        """Translations of the entries that the word begins.

        Returns:
            Pairs of a source word and the share of the entry's letters that the word has: entries
            that it nearly completes weigh most.
        """
        folded = nfc(word).lower()
        found = []
        for entry in self._sorted[bisect_left(self._sorted, folded) :]:
            if not entry.startswith(folded):
                break
            if entry != folded:
                found += [(source, len(folded) / len(entry)) for source in self._folded[entry]]
        return found

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._folded)


def nfc(text: str) -> str:
    """Unicode composed form, in which equal words are equal strings."""
    return unicodedata.normalize("NFC", text)


def in_case_of(pattern: str, word: str) -> str:
    """``word`` with the capitals of ``pattern``: all, the first letter's, or as it is."""
    if len(pattern) > 1 and pattern.isupper():
        return word.upper()
    if pattern[:1].isupper():
        return word[:1].upper() + word[1:]
    return word
