"""Text in Latin letters: another source whose text of some languages is romanised (RomanSetu).

J et al., ACL 2024, arXiv 2401.14280. The romaniser is uroman (``pip install 'franken[romanise]'``),
which knows every script; romanising is not undone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from franken.config.data import RomanForm, RomaniseConfig
from franken.data.derived_source import DerivedSource
from franken.data.source import TEST, TRAIN, DataSource, Pair
from franken.errors import ConfigError

Romaniser = Callable[[str], str]
MISSING = "not installed"


def romaniser(code: str | None) -> Romaniser:
    """Uroman's for a language.

    Args:
        code: ISO 639-3, for rules of that language; ``None``: those of the script alone.

    Raises:
        ConfigError: where uroman is not installed.
    """
    engine = _engine()
    return lambda text: str(engine.romanize_string(text, lcode=code))


def engine_version() -> str:
    """Of the installed uroman: it decides the text, so it stands in fingerprints."""
    try:
        return version("uroman")
    except PackageNotFoundError:
        return MISSING


class Romanised(DerivedSource):
    """Another source with text of ``config.languages`` in Latin letters, evaluation sets too."""

    def __init__(
        self, source: DataSource, config: RomaniseConfig, engine: Callable[[str | None], Romaniser]
        = romaniser,
    ) -> None:  # fmt: skip
        """Args: see below.

        Args:
            source: the source behind.
            config: languages and form.
            engine: gives the romaniser of a language code.
        """
        super().__init__(source)
        self._roman, self._engine = config, engine
        self._made: dict[str, Romaniser] = {}

    def difference(self) -> Any:
        """Languages, codes, form, and the romaniser's version."""
        roman = self._roman
        return ["romanise", roman.languages, roman.codes, str(roman.form), engine_version()]

    def fingerprint(
        self, roles: Collection[str] | None = None, languages: Collection[str] | None = None
    ) -> str:
        """Of the source behind, where no romanised language counts."""
        if languages is not None and not set(languages) & set(self._roman.languages):
            return self._source.fingerprint(roles, languages)
        return super().fingerprint(roles, languages)

    def texts(self, role: str, lang: str, split: str = TRAIN) -> Iterator[str]:
        """Records in the form that is asked for."""
        return (self._form(text, lang) for text in self._source.texts(role, lang, split))

    def pairs(self, lang: str, split: str = TRAIN) -> Iterator[Pair]:
        """Pairs with their target side in that form; gold links are kept."""
        for source, target, links in self._source.pairs(lang, split):
            yield Pair(source, self._form(target, lang), links)

    def lexicon(self, lang: str) -> list[tuple[str, str]]:
        """Words in Latin letters."""
        return [(one, self._latin(other, lang)) for one, other in self._source.lexicon(lang)]

    def task_rows(self, task: str, lang: str, split: str = TEST) -> list[dict[str, Any]]:
        """Rows whose texts are in Latin letters; of a set of pairs the column of ``lang``."""
        rows = self._source.task_rows(task, lang, split)
        if lang not in self._roman.languages:
            return rows
        pairwise = self._source.task_schema(task) == "flores"
        return [
            {
                key: value if pairwise and key != f"sentence_{lang}" else self._all(value, lang)
                for key, value in row.items()
            }
            for row in rows
        ]

    def _all(self, value: Any, lang: str) -> Any:
        if isinstance(value, str):
            return self._latin(value, lang)
        if isinstance(value, list):
            return [self._all(item, lang) for item in value]
        if isinstance(value, dict):
            return {key: self._all(item, lang) for key, item in value.items()}
        return value

    def _form(self, text: str, lang: str) -> str:
        latin = self._latin(text, lang)
        both = self._roman.form is RomanForm.both and latin != text
        return f"{text}\n{latin}" if both else latin

    def _latin(self, text: str, lang: str) -> str:
        if lang not in self._roman.languages or text.isascii():
            return text
        if lang not in self._made:
            self._made[lang] = self._engine(self._roman.codes.get(lang))
        made = self._made[lang]
        return "\n".join(made(line) for line in text.split("\n"))


@functools.cache
def _engine() -> Any:
    try:
        import uroman
    except ImportError as error:
        raise ConfigError(
            "data.romanise.languages names languages, but uroman is not installed; "
            "pip install 'franken[romanise]', or set it to []"
        ) from error
    return uroman.Uroman()
