"""How good tokenizers are for languages, measured on text: any set of them, side by side.

Fertility and whole words; Renyi efficiency (Zouhar et al. 2023, "Tokenization and the noiseless
channel"); vocabulary allocation and overlap (Limisiewicz et al. 2023, "Tokenization impacts
multilingual language modeling"); and what decomposed accents, capitals and odd white space cost.
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import regex
from tokenizers import Tokenizer

RENYI_ORDER = 2.5
"""Order of the entropy; the one that Zouhar et al. found to go with BLEU best."""
DISTORTIONS: dict[str, Callable[[str], str]] = {
    "nfd": lambda line: unicodedata.normalize("NFD", line),
    "upper": str.upper,
    "spaces": lambda line: line.replace(" ", "  "),
    "no_break": lambda line: line.replace(" ", "\u00a0"),
}
"""Texts that say the same to a reader: accents apart, capitals, two spaces, no-break spaces."""
_WORD = regex.compile(r"\S+")


@dataclass(frozen=True)
class LanguageQuality:
    """One tokenizer on the text of one language.

    Attributes:
        lines: lines measured.
        tokens_per_word: words are set apart by white space; no figure for unspaced languages.
        tokens_per_byte: of UTF-8.
        characters_per_token: one of Limisiewicz's two figures of allocation.
        average_rank: the other: rank of a token among this language's, most frequent first and
            from 1, averaged over the text; higher where more of the vocabulary is in use.
        whole_words: share of words that are one token (white space beside does not count).
        renyi: Renyi entropy of tokens over that of a vocabulary in even use, 0 to 1.
        used: share of the vocabulary that the text uses.
        unknown: share of tokens that are unknown.
        lost: share of lines that decoding does not restore.
        distorted: kind of distortion -> tokens in proportion to those of the text as it is.
    """

    lines: int
    tokens_per_word: float
    tokens_per_byte: float
    characters_per_token: float
    average_rank: float
    whole_words: float
    renyi: float
    used: float
    unknown: float
    lost: float
    distorted: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def measure(tokenizer: Tokenizer, lines: Sequence[str], unknown: int | None) -> LanguageQuality:
    """Quality of a tokenizer on some lines.

    Args:
        tokenizer: without truncation and padding.
        lines: not empty, of one language.
        unknown: id of the unknown token.
    """
    encodings = tokenizer.encode_batch(list(lines), add_special_tokens=False)
    counts = Counter(token for encoding in encodings for token in encoding.ids)
    tokens = max(1, counts.total())
    words = whole = 0
    for line, encoding in zip(lines, encodings, strict=True):
        pieces = pieces_of_words(line, encoding.offsets)
        words += len(pieces)
        whole += pieces.count(1)
    decoded = tokenizer.decode_batch([encoding.ids for encoding in encodings])
    size = tokenizer.get_vocab_size()
    return LanguageQuality(
        lines=len(lines),
        tokens_per_word=tokens / max(1, words),
        tokens_per_byte=tokens / max(1, sum(len(line.encode()) for line in lines)),
        characters_per_token=sum(map(len, lines)) / tokens,
        average_rank=average_rank(counts),
        whole_words=whole / max(1, words),
        renyi=renyi_efficiency(counts, size),
        used=len(counts) / max(1, size),
        unknown=counts[unknown] / tokens if unknown is not None else 0.0,
        lost=sum(a != b for a, b in zip(decoded, lines, strict=True)) / len(lines),
        distorted={
            name: token_counts(tokenizer, map(change, lines)).total() / tokens
            for name, change in DISTORTIONS.items()
        },
    )


def token_counts(tokenizer: Tokenizer, lines: Iterable[str]) -> Counter[int]:
    """How often each token occurs in a text."""
    encodings = tokenizer.encode_batch_fast(list(lines), add_special_tokens=False)
    return Counter(token for encoding in encodings for token in encoding.ids)


def pieces_of_words(line: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """Number of tokens that hold a part of each word of a line.

    Args:
        line: a text.
        offsets: first and last character (exclusive) of each token, in order.
    """
    found = []
    first = 0
    for match in _WORD.finditer(line):
        start, stop = match.span()
        while first < len(offsets) and offsets[first][1] <= start:
            first += 1
        at = first
        while at < len(offsets) and offsets[at][0] < stop:
            at += 1
        found.append(at - first)
    return found


def renyi_efficiency(counts: Mapping[int, int], size: int, order: float = RENYI_ORDER) -> float:
    """``H_a(p) / log |V|`` of the distribution of tokens; 0 for fewer than two tokens.

    ``H_a(p) = log(sum_v p(v)^a) / (1 - a)``.
    """
    total = sum(counts.values())
    if size < 2 or not total:
        return 0.0
    powers = math.fsum((count / total) ** order for count in counts.values())
    return math.log(powers) / (1 - order) / math.log(size)


def average_rank(counts: Mapping[int, int]) -> float:
    """``sum_v rank(v) p(v)``, the most frequent token having rank 1."""
    total = sum(counts.values())
    ranked = sorted(counts.values(), reverse=True)
    return math.fsum(rank * count for rank, count in enumerate(ranked, 1)) / max(1, total)


def divergence(first: Mapping[int, int], second: Mapping[int, int]) -> float:
    """Jensen-Shannon divergence of two distributions of tokens, in bits: 0 (equal) to 1 (apart)."""
    sums = sum(first.values()), sum(second.values())
    if not all(sums):
        return math.nan
    parts = []
    for token in set(first) | set(second):
        p, q = first.get(token, 0) / sums[0], second.get(token, 0) / sums[1]
        middle = (p + q) / 2
        parts += [share * math.log2(share / middle) / 2 for share in (p, q) if share]
    return math.fsum(parts)


def compare(
    tokenizers: Mapping[str, Any], texts: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Every tokenizer on every language; the result is plain JSON.

    Args:
        tokenizers: name -> fast tokenizer of transformers.
        texts: language -> lines.

    Returns:
        Per tokenizer: ``size``; ``languages`` -> figures; ``divergence`` -> pair of languages
        (``en-sw``) -> divergence of their tokens.
    """
    found = {}
    for name, tokenizer in tokenizers.items():
        own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        own.no_truncation()
        own.no_padding()
        counts = {lang: token_counts(own, lines) for lang, lines in texts.items()}
        found[name] = {
            "size": own.get_vocab_size(),
            "languages": {
                lang: measure(own, lines, tokenizer.unk_token_id).to_json()
                for lang, lines in texts.items()
            },
            "divergence": {
                f"{one}-{other}": divergence(counts[one], counts[other])
                for one, other in combinations(texts, 2)
            },
        }
    return found
