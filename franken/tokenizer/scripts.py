"""Unicode scripts of pieces: asked by ``prune_extend`` and ``embedding_structure``."""

from collections import Counter
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


def main_script(text: str) -> str:
    """Script of most characters; of several with equal counts, the one that comes first.

    ``Unknown`` for characters without a script, and for an empty text.
    """
    found = Counter(map(script_of, text))
    return max(found, key=found.__getitem__) if found else "Unknown"


@cache
def script_of(char: str) -> str:
    """Script of one character; ``Unknown`` where it has none."""
    for name, pattern in _all_scripts().items():
        if pattern.match(char):
            return name
    return "Unknown"


@cache
def _all_scripts() -> dict[str, regex.Pattern[str]]:
    """The scripts that the regex library knows; those with many characters first."""
    known = {}
    for name in _NAMES.split():
        try:
            known[name] = regex.compile(rf"\p{{Script={name}}}")
        except regex.error:  # newer than the library
            continue
    return known


_NAMES = """
Common Latin Han Hangul Cyrillic Arabic Greek Devanagari Hiragana Katakana Hebrew Thai Bengali Tamil
Telugu Ethiopic Georgian Armenian Inherited Khmer Lao Myanmar Sinhala Kannada Malayalam Gujarati
Gurmukhi Oriya Tibetan Mongolian Bopomofo Cherokee Canadian_Aboriginal Syriac Thaana Nko Tifinagh Yi
Vai Adlam Javanese Balinese Sundanese Buginese Cham Ol_Chiki Meetei_Mayek Tai_Le New_Tai_Lue
Tai_Tham Tai_Viet Lepcha Limbu Saurashtra Rejang Kayah_Li Batak Bamum Lisu Samaritan Mandaic Coptic
Gothic Ogham Runic Glagolitic Braille Tagalog Hanunoo Buhid Tagbanwa Syloti_Nagri Phags_Pa Deseret
Shavian Osmanya Osage Cypriot Linear_A Linear_B Ugaritic Old_Persian Old_Italic Old_Permic
Old_Turkic Old_Hungarian Old_North_Arabian Old_South_Arabian Old_Sogdian Old_Uyghur Cuneiform
Egyptian_Hieroglyphs Meroitic_Cursive Meroitic_Hieroglyphs Anatolian_Hieroglyphs Avestan Carian
Lycian Lydian Phoenician Kharoshthi Brahmi Kaithi Sora_Sompeng Chakma Sharada Takri Miao
Bassa_Vah Caucasian_Albanian Duployan Elbasan Grantha Khojki Khudawadi Mahajani Manichaean
Mende_Kikakui Modi Mro Nabataean Pahawh_Hmong Palmyrene Pau_Cin_Hau Psalter_Pahlavi Siddham
Tirhuta Warang_Citi Ahom Hatran Multani SignWriting Bhaiksuki Marchen Newa Tangut Masaram_Gondi
Nushu Soyombo Zanabazar_Square Dogra Gunjala_Gondi Hanifi_Rohingya Makasar Medefaidrin Sogdian
Elymaic Nandinagari Nyiakeng_Puachue_Hmong Wancho Chorasmian Dives_Akuru Khitan_Small_Script
Yezidi Cypro_Minoan Tangsa Toto Vithkuqi Kawi Nag_Mundari Imperial_Aramaic
Inscriptional_Pahlavi Inscriptional_Parthian Garay Gurung_Khema Kirat_Rai Ol_Onal Sunuwar Todhri
Tulu_Tigalari
"""


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
