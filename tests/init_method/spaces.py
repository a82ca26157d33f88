"""Small word and piece spaces whose meanings are known, and slow obvious weights beside them."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from franken.init_method import InitResources, TokenMap
from franken.word_vectors import VectorSpace
from franken.word_vectors.common.pieces import cut_to_pieces
from franken.word_vectors.common.words import words_of
from tests.init_method.texts import ENGLISH, LEXICON, SWAHILI

DIM = 16
ONE_TO_ONE = {
    language: [pair for pair in pairs if pair[0] != "home"] for language, pairs in LEXICON.items()
}
MEANINGS = {word: source for pairs in ONE_TO_ONE.values() for source, word in pairs}
AMHARIC = ["ቤት ውሃ መጽሐፍ"]


def drawn(*keys: str, size: int = DIM) -> Tensor:
    """A vector that only depends on its name."""
    digest = hashlib.sha256("/".join(keys).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(size, generator=generator)


def rotation(name: str, size: int = DIM) -> Tensor:
    draws = torch.stack([drawn(name, str(row), size=size) for row in range(size)])
    return torch.linalg.qr(draws)[0]


def meaning_of(word: str) -> str:
    return MEANINGS.get(word.lower(), word.lower())


def word_space(language: str, lines: list[str], *, ngrams: bool = True) -> VectorSpace:
    """A word and its translation have one vector, seen from another side in each language."""
    counts: dict[str, int] = {}
    for line in lines:
        for word in words_of(line):
            counts[word] = counts.get(word, 0) + 1
    words = sorted(counts, key=lambda word: (-counts[word], word))
    concepts = torch.stack([drawn("word", meaning_of(word)) for word in words])
    grams = torch.stack([drawn("ngram", str(row)) for row in range(97)]) if ngrams else None
    space = VectorSpace(words, concepts, torch.tensor([counts[w] for w in words]), grams, 3, 5)
    return space if language == "en" else space.transformed(rotation(language))


def word_spaces(*, ngrams: bool = True) -> dict[str, VectorSpace]:
    texts = {"en": ENGLISH, "sw": SWAHILI[:5], "am": AMHARIC}
    return {
        language: word_space(language, lines, ngrams=ngrams) for language, lines in texts.items()
    }


def piece_spaces(source, target) -> dict[str, VectorSpace]:
    """Pieces of the target text; the source's pieces lie in another orientation."""
    spaces = {}
    for side, tokenizer in (("target", target), ("source", source)):
        counts: dict[str, int] = {}
        for cut in cut_to_pieces([*SWAHILI, *ENGLISH], tokenizer):
            for label in cut:
                counts[label] = counts.get(label, 0) + 1
        words = sorted(counts, key=lambda word: (-counts[word], word))
        vectors = torch.stack([drawn("piece", word) for word in words])
        grams = torch.stack([drawn("ngram", str(row)) for row in range(97)])
        space = VectorSpace(words, vectors, torch.tensor([counts[w] for w in words]), grams, 3, 5)
        spaces[side] = space if side == "target" else space.transformed(rotation("source side"))
    return spaces


def substring_spaces() -> dict[str, VectorSpace]:
    """Vectors of whatever pieces any tokenizer may cut these texts into."""
    words = {word for line in [*ENGLISH, *SWAHILI] for word in line.split()}
    pieces = {
        word[start:stop] for word in words for start in range(len(word))
        for stop in range(start + 1, len(word) + 1)
    } | {f"▁{word[:stop]}" for word in words for stop in range(len(word) + 1)}  # fmt: skip
    target = VectorSpace(
        sorted(pieces), torch.stack([drawn("piece", piece) for piece in sorted(pieces)])
    )
    return {"target": target, "source": target.transformed(rotation("source side"))}


def resources_of(source, target, **changes) -> InitResources:
    """All that the methods of this family read, for two target languages."""
    given = {
        "languages": ["sw", "am"],
        "lexicons": ONE_TO_ONE,
        "word_vectors": word_spaces(),
        "piece_vectors": piece_spaces(source, target),
    }
    return InitResources(**{**given, **changes})


def dense(token_map: TokenMap) -> Tensor:
    """``(T, S)`` float64."""
    matrix = torch.zeros(token_map.rows, token_map.source_rows, dtype=torch.float64)
    rows = torch.repeat_interleave(torch.arange(token_map.rows), token_map.sizes())
    matrix[rows, token_map.indices.long()] = token_map.weights.double()
    return matrix


def cosines(left: Tensor, right: Tensor) -> np.ndarray:
    """Row by row in float64."""
    left, right = left.double().numpy(), right.double().numpy()
    return np.array(
        [[a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for b in right] for a in left]
    )


def projected_on_simplex(scores: np.ndarray) -> np.ndarray:
    """Euclidean projection by bisection of the threshold: no sorting, no support."""
    low, high = scores.min() - 1.0, scores.max()
    for _ in range(200):
        middle = (low + high) / 2
        if np.maximum(scores - middle, 0).sum() > 1:
            low = middle
        else:
            high = middle
    return np.maximum(scores - (low + high) / 2, 0)
