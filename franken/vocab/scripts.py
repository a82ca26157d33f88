"""Unicode scripts of pieces: what the script filter of ``prune_extend`` asks."""

from collections.abc import Iterable
from functools import cache

import regex

from franken.errors import ConfigError


def uses_only_scripts(text: str, scripts: Iterable[str]) -> bool:
    """Whether every character of ``text`` belongs to one of the named Unicode scripts.

    Digits, punctuation, symbols, emoji and spaces are ``Common``; combining marks that take the
    script of their base letter are ``Inherited``.
    """
    return _pattern(tuple(scripts)).fullmatch(text) is not None


@cache
def _pattern(scripts: tuple[str, ...]) -> regex.Pattern[str]:
    for script in scripts:
        try:
            regex.compile(rf"\p{{Script={script}}}")
        except regex.error:
            raise ConfigError(
                f"vocab.keep_scripts: {script!r} is no Unicode script; scripts are named as in "
                "the Unicode standard, for example Latin, Cyrillic, Ethiopic, Common, Inherited"
            ) from None
    names = "".join(rf"\p{{Script={script}}}" for script in scripts)
    return regex.compile(rf"[{names}]*" if names else "")
