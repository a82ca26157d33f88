"""Numbers as a language writes them: separators of thousands and of decimals, digits, minus signs.

The table is CLDR's (``decimal`` of the Latin digits, as in Babel 2.19): languages that are not
listed have a decimal point, as English does.
"""

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from franken.eval_suite.languages import short_code

SPACES = "\u0020\u00a0\u2009\u202f"
"""Space, no-break space, thin space, narrow no-break space."""
_MINUS = "-\u2212\u2010\u2011\ufe63\uff0d"
APOSTROPHES = "'\u2019"


@dataclass(frozen=True)
class NumberFormat:
    """How a language writes numbers.

    Attributes:
        decimal: what stands before the decimals.
        groups: what may stand between groups of digits.
    """

    decimal: str
    groups: str


POINT = NumberFormat(".\u066b", ",\u066c" + SPACES + APOSTROPHES)
COMMA = NumberFormat(",\u066b", ".\u066c" + SPACES + APOSTROPHES)
COMMA_LANGUAGES = frozenset(
    {"ady", "af", "agq", "ast", "az", "ba", "bas", "be", "bg", "blo", "br", "bs", "bua",
     "ca", "cs", "cv", "da", "de", "dsb", "dua", "dyo", "el", "eo", "es", "et", "eu", "ewo",
     "ff", "fi", "fo", "fr", "fy", "gl", "hr", "hsb", "ht", "hu", "hy", "ia", "id", "ie",
     "is", "it", "jgo", "jv", "ka", "kab", "kbd", "kea", "kgp", "kk", "kkj", "kl", "ksf",
     "ku", "ky", "lb", "lij", "lld", "ln", "lo", "lt", "lu", "lv", "mgh", "mk", "mua", "nb",
     "nl", "nmg", "nn", "nnh", "no", "nr", "pl", "pms", "ps", "pt", "rm", "rn", "ro", "ru",
     "rw", "sah", "sc", "scn", "se", "seh", "sg", "shi", "sk", "sl", "smn", "sq", "sr",
     "ss", "su", "sv", "tg", "tk", "tok", "tr", "ts", "tt", "tzm", "uk", "uz", "ve", "vec",
     "vi", "wo", "yav", "yrl", "zgh"}
)  # fmt: skip
"""Languages with a decimal comma; groups stand apart by a point or a space, and texts mix these."""


def number_format(lang: str) -> NumberFormat:
    """The format of a language, by its code."""
    code = short_code(lang)
    return COMMA if code in COMMA_LANGUAGES else POINT


_DIGITS = r"\d"
_NUMBER = re.compile(rf"[{_MINUS}]?{_DIGITS}+(?:[.,\u066b\u066c{SPACES}{APOSTROPHES}]{_DIGITS}+)*")
"""Digits of any script with anything between them that some language puts there."""


def last_number(text: str, lang: str = "en") -> Decimal | None:
    """The last number of a text as its language writes it; ``None`` where there is none."""
    found = None
    for match in _NUMBER.finditer(text):
        before = text[: match.start()]
        found = _read(match.group(), number_format(lang), before) or found
    return found


def _read(written: str, form: NumberFormat, before: str) -> Decimal | None:
    """The last number of a run of digits and separators.

    A separator that the language has for groups is one where groups of three follow it (the first
    group of one to three digits; of two in the Indian way before the last three); one that it has
    for decimals is one where it stands once, last. What is neither by the language's own rule is
    read by the other's (``1.5`` in German), as models do mix them: ``18.000`` is eighteen thousand
    in German and Indonesian and eighteen in English, ``3.5`` is three and a half in both.
    """
    sign = ""
    if written[0] in _MINUS:
        attached = before[-1:] and (before[-1].isalnum() or before[-1] in ")]%")
        sign, written = ("" if attached else "-"), written[1:]
    plain = "".join(c if unicodedata.digit(c, None) is None else str(unicodedata.digit(c))
                    for c in written)  # fmt: skip
    while plain:
        value = _value(plain, form) or _value(plain, _other(form))
        if value is not None:
            try:
                return Decimal(sign + value).normalize()
            except InvalidOperation:
                return None
        # two numbers in a row, such as "in 2024 18" or "1,2,3": the last one counts
        cut = next((at for at, c in enumerate(plain) if not c.isdigit()), None)
        if cut is None:
            return None
        plain, sign = plain[cut + 1 :], ""
    return None


def _other(form: NumberFormat) -> NumberFormat:
    return POINT if form is COMMA else COMMA


def _value(plain: str, form: NumberFormat) -> str | None:
    """Plain digits with a point, or ``None`` where this is no number of the format."""
    whole, decimals = plain, ""
    marks = [c for c in plain if not c.isdigit()]
    if marks and marks[-1] in form.decimal and marks.count(marks[-1]) == 1:
        whole, _, decimals = plain.rpartition(marks[-1])
        marks = marks[:-1]
    if not marks:
        return f"{whole}.{decimals}" if decimals else whole
    if len(set(marks)) > 1 or marks[0] not in form.groups:
        return None
    groups = whole.split(marks[0])
    western = 1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])
    indian = (
        1 <= len(groups[0]) <= 2
        and len(groups[-1]) == 3
        and all(len(group) == 2 for group in groups[1:-1])
    )
    if not (western or (indian and marks[0] == ",")):
        return None
    return "".join(groups) + (f".{decimals}" if decimals else "")


def read_differently(text: str) -> bool:
    """Whether a number reads differently by a decimal comma and by a decimal point."""
    return last_number(text, "en") != last_number(text, "de")
