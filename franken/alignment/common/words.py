"""Words of a sentence: what a word aligner counts.

Letters with their marks make a word, digits make one, every other sign stands alone; characters of
scripts without spaces between words stand alone too, as the paper leaves ideographs unmerged.

The release of Trans-Tokenization glues a tokenizer's pieces by a regular expression over their raw
strings, which breaks the words of most non-Latin scripts under byte-level BPE. Characters know
better, and alignments need not be made anew for each tokenizer. The release also keeps each digit
apart where the tokenizer does; ``15`` is one word here.
"""

import regex

_SPACELESS = r"[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Javanese}]"
_JOINERS = "\u200c\u200d"
_WORD = regex.compile(
    rf"(?:(?!{_SPACELESS})\p{{L}}[\p{{M}}{_JOINERS}]*)+"
    r"|\p{Nd}+"
    rf"|[^\s]\p{{M}}*[{_JOINERS}]*"
)


def words_of(text: str) -> list[str]:
    """The words of a text in order; no word holds white space."""
    found: list[str] = _WORD.findall(text)
    return found
