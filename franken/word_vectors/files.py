"""Vectors that were made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import DataError
from franken.lazy import later
from franken.word_vectors.base import Lines, PieceSide, VectorUnit, WordVectors

with later():
    from franken.word_vectors.common.read import read_vectors
    from franken.word_vectors.common.space import VectorSpace


@option
class VectorFiles(WordVectors):
    """fastText files (.vec, .vec.gz, .bin) made elsewhere, one for each language."""

    reads_text: ClassVar[bool] = False

    path: str = ""
    """File of each language; holds ``{lang}``, e.g. ``vectors/cc.{lang}.300.bin``."""
    paths: dict[str, str] = field(default_factory=dict)
    """Language -> file, where ``path`` does not fit. For ``unit: pieces`` the keys are ``target``
    and ``source``, and the words are pieces by label (``▁house``)."""
    max_words: int | None = None
    """The first (most frequent) words that are kept; n-grams of a ``.bin`` stay whole."""
    ngrams: bool = True
    """Keep the n-grams of a ``.bin``, for vectors of unseen words (2.4 GB of fasttext.cc)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path and not self.paths:
            yield (
                "path",
                "names no file; give 'word_vectors.path=\"DIR/cc.{lang}.300.bin\"' (quoted so), or "
                "+word_vectors.paths.LANG=FILE",
            )
        if self.path and "{lang}" not in self.path:
            yield "path", f"lacks {{lang}}; got {self.path!r}"
        yield from at_least("max_words", self.max_words, 1)

    def files(self, unit: VectorUnit, languages: list[str]) -> dict[str, str]:
        """Path of each language, or of ``target`` and ``source``; "" where none is named."""
        if unit is VectorUnit.pieces:
            return {side: self.paths.get(side, "") for side in map(str, PieceSide)}
        return {
            language: self.paths.get(language) or self.path.replace("{lang}", language)
            for language in languages
        }

    def of_words(
        self, languages: Iterable[str], lines: Lines, seeds: Callable[[str], int]
    ) -> dict[str, VectorSpace]:
        spaces = {}
        for language, path in self.files(VectorUnit.words, list(languages)).items():
            if not path:
                raise DataError(
                    f"word_vectors names no file for {language!r}; give "
                    f"+word_vectors.paths.{language}=FILE"
                )
            spaces[language] = self._read(path)
        return spaces

    def of_pieces(
        self, tokenizers: Mapping[str, Any], languages: list[str], lines: Lines, seed: int
    ) -> dict[str, VectorSpace]:
        named = self.files(VectorUnit.pieces, languages)
        found = {side: path for side in tokenizers if (path := named[side])}
        if not found:
            wanted = " and ".join(f"+word_vectors.paths.{side}=FILE" for side in tokenizers)
            raise DataError(
                f"word_vectors=files names no vectors of {' or '.join(tokenizers)} pieces; give "
                f"{wanted}, choose word_vectors=trained, or a method that reads words "
                "(init_method.unit=words)"
            )
        return {key: self._read(path) for key, path in found.items()}

    def _read(self, path: str) -> VectorSpace:
        file = Path(path).expanduser()
        return read_vectors(file, max_words=self.max_words, ngrams=self.ngrams)
