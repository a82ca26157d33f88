"""What an evaluation must know of a language: its English name, and whether it spaces its words."""

NAMES = {
    "am": "Amharic", "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "eu": "Basque",
    "fa": "Persian", "fi": "Finnish", "fr": "French", "ha": "Hausa", "he": "Hebrew",
    "hi": "Hindi", "ht": "Haitian Creole", "hu": "Hungarian", "hy": "Armenian",
    "id": "Indonesian", "ig": "Igbo", "it": "Italian", "ja": "Japanese", "jv": "Javanese",
    "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "kn": "Kannada", "ko": "Korean",
    "lo": "Lao", "ml": "Malayalam", "mr": "Marathi", "ms": "Malay", "my": "Burmese",
    "ne": "Nepali", "nl": "Dutch", "or": "Odia", "pa": "Punjabi", "pl": "Polish",
    "pt": "Portuguese", "qu": "Quechua", "ro": "Romanian", "ru": "Russian", "si": "Sinhala",
    "so": "Somali", "sv": "Swedish", "sw": "Swahili", "ta": "Tamil", "te": "Telugu",
    "th": "Thai", "ti": "Tigrinya", "tl": "Tagalog", "tr": "Turkish", "tt": "Tatar",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "yo": "Yoruba",
    "zh": "Chinese", "zu": "Zulu",
}  # fmt: skip
"""ISO 639-1 code -> English name."""

LONG_CODES = {
    "amh": "am", "arb": "ar", "ben": "bn", "deu": "de", "ell": "el", "eng": "en", "spa": "es",
    "est": "et", "fra": "fr", "hau": "ha", "heb": "he", "hin": "hi", "hat": "ht", "hye": "hy",
    "ind": "id", "ibo": "ig", "ita": "it", "jpn": "ja", "jav": "jv", "kat": "ka", "kaz": "kk",
    "khm": "km", "kan": "kn", "kor": "ko", "lao": "lo", "mal": "ml", "mar": "mr", "zsm": "ms",
    "mya": "my", "npi": "ne", "nld": "nl", "ory": "or", "pan": "pa", "pol": "pl", "por": "pt",
    "quy": "qu", "ron": "ro", "rus": "ru", "sin": "si", "som": "so", "swe": "sv", "swa": "sw",
    "swh": "sw", "tam": "ta", "tel": "te", "tha": "th", "tir": "ti", "tgl": "tl", "tur": "tr",
    "tat": "tt", "ukr": "uk", "urd": "ur", "vie": "vi", "yor": "yo", "zho": "zh", "zul": "zu",
    "pes": "fa",
}  # fmt: skip
"""ISO 639-3 code, as in FLORES codes, -> ISO 639-1 code."""

UNSPACED_LANGUAGES = frozenset({"bo", "dz", "ja", "km", "lo", "my", "shn", "th", "zh"})
UNSPACED_LONG = frozenset({"bod", "dzo", "shn", "yue"})
UNSPACED_SCRIPTS = frozenset({"Hans", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"})


def short_code(code: str) -> str:
    """``swh_Latn`` -> ``sw``; a code that is not known stands for itself."""
    head = code.replace("-", "_").split("_")[0].lower()
    return LONG_CODES.get(head, head)


def language_name(code: str) -> str:
    """English name for prompts (``tr`` -> ``Turkish``); the code itself when unknown."""
    return NAMES.get(short_code(code), code)


def spaces_words(code: str) -> bool:
    """Whether words are set apart by spaces, so that tokens per word mean something."""
    script = code.replace("-", "_").split("_")[1:2]
    if script and script[0] in UNSPACED_SCRIPTS:
        return False
    return short_code(code) not in UNSPACED_LANGUAGES | UNSPACED_LONG
