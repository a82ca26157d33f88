"""Vectors of a tokenizer's pieces in a space of words, and all languages in one such space."""

import unicodedata
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.errors import DataError
from franken.token_map.options import SpaceAlignment
from franken.token_map.resources import InitResources
from franken.token_map.set_network import WordSets
from franken.tokenizer.pieces import encode_pieces, text_of

if TYPE_CHECKING:
    from franken.word_vectors import VectorSpace

Forms = Sequence[str]
"""Spellings in which a word is cut: ``{}`` the word, ``{title}`` with a capital."""
RUNNING: Forms = (" {}",)
WECHSEL_FORMS: Forms = ("{}", " {}")
OFA_FORMS: Forms = ("{}", " {}", "{title}", " {title}")
_COLUMNS = 16
_ROWS = 16384


class Weighting(StrEnum):
    """How much each word says about its pieces."""

    counts = "counts"
    """Its occurrences; words of a space without counts weigh the same."""
    equal = "equal"
    inverse_rank = "inverse_rank"
    """1 / rank by frequency."""


def languages_in_one_space(
    resources: InitResources, align: SpaceAlignment, method: str
) -> tuple[dict[str, "VectorSpace"], dict[str, int]]:
    """Every target language rotated into the space of the source language.

    WECHSEL rotates the source instead; with one target language all cosines are the same, and with
    several this is the one direction in which they meet.

    Returns:
        Spaces by language, the source's unchanged; and the word pairs that aligned each target.

    Raises:
        DataError: where the source's or a target's vectors are missing, dimensions differ, or no
            word pair can be used.
    """
    from franken.word_vectors.common.align import aligned, expanded, identical_words

    spaces: dict[str, VectorSpace] = resources.require("word_vectors", method)
    source = space_of(spaces, resources.source_language, method)
    found, pairs_used = {resources.source_language: source}, {}
    if not _targets(resources):
        raise DataError(
            f"init_method={method} needs word vectors of a target language; none is named"
        )
    for language in _targets(resources):
        space, what = space_of(spaces, language, method), f"init_method={method}, {language}"
        if align is SpaceAlignment.none:
            if space.dim != source.dim:
                raise DataError(
                    f"{what}: its vectors have {space.dim} dimensions, those of "
                    f"{resources.source_language} {source.dim}; they cannot be aligned already"
                )
            found[language] = space
            continue
        if align is SpaceAlignment.lexicon:
            entries = resources.lexicons.get(language)
            if not entries:
                raise DataError(
                    f"{what}: no lexicon to align its word vectors with; add the role lexicon for "
                    "it, or set init_method.align=identical, or =none for aligned vectors"
                )
            pairs = expanded((target_word, source_word) for source_word, target_word in entries)
        else:
            pairs = identical_words(space, source)
        found[language], pairs_used[language] = aligned(space, source, pairs, what=what)
    return found, pairs_used


def space_of(spaces: Mapping[str, "VectorSpace"], language: str, method: str) -> "VectorSpace":
    """The space of one language; ``DataError`` where it is missing."""
    if language not in spaces:
        raise DataError(
            f"init_method={method} needs word vectors of {language!r}; there are some of "
            f"{', '.join(sorted(spaces))}"
        )
    return spaces[language]


def target_spaces(
    spaces: Mapping[str, "VectorSpace"], resources: InitResources
) -> list["VectorSpace"]:
    """Those of the target languages, in the order of the configuration."""
    return [spaces[language] for language in _targets(resources)]


def texts_of(piece_bytes: Sequence[bytes | None]) -> list[str]:
    """Text of each piece without spaces around it; ``""`` where it is no text.

    Pieces that are no whole UTF-8, or hold control characters, have no text. WECHSEL and FOCUS
    decode all of the former to U+FFFD and so give them one and the same vector.
    """
    texts = []
    for data in piece_bytes:
        text = (text_of(data) or "").strip()
        texts.append("" if any(unicodedata.category(char) == "Cc" for char in text) else text)
    return texts


def decoded_vectors(
    piece_bytes: Sequence[bytes | None], spaces: Sequence["VectorSpace"]
) -> tuple[Tensor, Tensor]:
    """Vectors of pieces by their text.

    In several languages: the mean over those that list it as a word, weighted by their counts;
    where none does, the mean of its n-gram vectors.

    Args:
        piece_bytes: bytes of each piece; ``None`` has no vector.
        spaces: languages of one space.

    Returns:
        ``(m, d)`` vectors and ``(m,)`` bool: whether there is one.
    """
    texts = texts_of(piece_bytes)
    vectors = torch.empty(len(texts), spaces[0].dim)
    for start in range(0, len(texts), _ROWS):  # in float32 several times over, which takes room
        vectors[start : start + _ROWS] = _vectors_of(texts[start : start + _ROWS], spaces)
    return vectors, (vectors != 0).any(1)


def _vectors_of(texts: Sequence[str], spaces: Sequence["VectorSpace"]) -> Tensor:
    """``(m, d)`` of :func:`decoded_vectors`; zero rows for texts without one."""
    listed, guessed = (torch.zeros(len(texts), spaces[0].dim) for _ in range(2))
    weight, guesses = torch.zeros(len(texts), 1), torch.zeros(len(texts), 1)
    text = torch.tensor([bool(text) for text in texts], dtype=torch.bool)
    for space in spaces:
        vectors, known = space.lookup(texts)
        rows = torch.tensor([space.index.get(text, -1) for text in texts], dtype=torch.int64)
        own = known & (rows >= 0) & text
        share = torch.zeros(len(texts), 1)
        share[own, 0] = 1.0 if space.counts is None else space.counts[rows[own]].float()
        listed += vectors * share
        weight += share
        guess = known & (rows < 0) & text
        guessed[guess] += vectors[guess]
        guesses[guess] += 1
    return torch.where(weight > 0, listed / weight.clamp(min=1e-30), guessed / guesses.clamp(1))


def pooled_vectors(
    tokenizer: PreTrainedTokenizerBase,
    rows: int,
    spaces: Sequence["VectorSpace"],
    *,
    weighting: Weighting,
    forms: Forms,
    max_words: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Vectors of pieces as the mean over the words that they are part of.

    ``f(t) = sum_w a_w v_w / sum_w a_w`` over the words ``w`` whose segmentation holds ``t``, once
    for each form in which it does.

    Args:
        tokenizer: cuts the words.
        rows: number of rows of the result.
        spaces: languages of one space; their words are pooled.
        weighting: what ``a_w`` is.
        forms: spellings in which each word is cut.
        max_words: the first words of each space.

    Returns:
        ``(rows, d)`` vectors and ``(rows,)`` bool: whether there is one.
    """
    from scipy.sparse import csr_matrix

    weight, parts = np.zeros(rows), []
    for space in spaces:
        words = list(islice(space.words, max_words))
        values = _word_weights(space, len(words), weighting)
        found = [_pieces_of(tokenizer, words, form, rows) for form in forms]
        pieces, owners = (np.concatenate(side) for side in zip(*found, strict=True))
        matrix = csr_matrix((values[owners], (pieces, owners)), shape=(rows, len(words)))
        weight += np.asarray(matrix.sum(1)).ravel()
        parts.append((matrix, space.vectors[: len(words)]))
    vectors = torch.empty(rows, spaces[0].dim)
    scale = np.maximum(weight, 1e-300)[:, None]
    for start in range(0, vectors.shape[1], _COLUMNS):  # in float64, which takes room
        columns = slice(start, start + _COLUMNS)
        total = sum(matrix @ known[:, columns].double().numpy() for matrix, known in parts)
        vectors[:, columns] = torch.from_numpy(total / scale)
    return vectors, (vectors != 0).any(1)


def words_of_pieces(
    tokenizer: PreTrainedTokenizerBase,
    rows: int,
    spaces: Sequence["VectorSpace"],
    *,
    forms: Forms,
    max_words: int | None = None,
    most: int,
) -> WordSets:
    """The words that pieces are part of, as sets; arguments as of :func:`pooled_vectors`.

    Args:
        tokenizer: cuts the words.
        rows: number of pieces.
        spaces: languages of one space.
        forms: spellings in which each word is cut.
        max_words: the first words of each space.
        most: words of a piece, those of the best ranks in their languages.
    """
    keys, vectors, first = [], [], 0
    for space in spaces:
        words = list(islice(space.words, max_words))
        found = [_pieces_of(tokenizer, words, form, rows) for form in forms]
        pieces, owners = (np.concatenate(side) for side in zip(*found, strict=True))
        placed = np.stack([pieces, owners, owners + first]).astype(np.int64)
        keys.append(np.unique(placed, axis=1))
        vectors.append(space.vectors[: len(words)].float())
        first += len(words)
    pieces, ranks, numbers = np.concatenate(keys, axis=1)
    order = np.lexsort((numbers, ranks, pieces))
    pieces, numbers = pieces[order], numbers[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pieces, minlength=rows))])
    kept = np.arange(len(pieces)) - starts[pieces] < most
    sizes = np.bincount(pieces[kept], minlength=rows)
    return WordSets(
        torch.cat(vectors), torch.from_numpy(np.concatenate([[0], np.cumsum(sizes)])),
        torch.from_numpy(numbers[kept]),
    )  # fmt: skip


def _pieces_of(
    tokenizer: PreTrainedTokenizerBase, words: Sequence[str], form: str, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pieces of each word, and the words that they are of; by word, then by piece."""
    pieces, owners = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for start in range(0, len(words), _ROWS):  # lists of ids take ten times the room of the result
        batch = words[start : start + _ROWS]
        texts = [form.format(word, title=word.title()).encode() for word in batch]
        cut = encode_pieces(tokenizer, texts)
        sizes = np.fromiter(map(len, cut), np.int64, len(cut))
        found = np.fromiter(chain.from_iterable(cut), np.int64, int(sizes.sum()))
        keys = np.repeat(np.arange(len(cut)), sizes) * rows + found
        keys = np.unique(keys[found < rows])
        pieces.append((keys % rows).astype(np.int32))
        owners.append((keys // rows + start).astype(np.int32))
    return np.concatenate(pieces), np.concatenate(owners)


def piece_space_vectors(
    spaces: Mapping[str, "VectorSpace"],
    side: str,
    tokenizer: PreTrainedTokenizerBase,
    method: str,
    *,
    ngrams: bool,
) -> tuple[Tensor, Tensor]:
    """Vectors of pieces from a space whose words are pieces.

    Args:
        spaces: by side.
        side: ``target`` or ``source``.
        tokenizer: names the pieces.
        method: for errors.
        ngrams: whether pieces without a vector of their own take one from their n-grams.

    Returns:
        ``(ids, d)`` vectors and ``(ids,)`` bool: whether there is one. Special tokens have none.

    Raises:
        DataError: where the side is missing.
    """
    from franken.word_vectors.common.pieces import piece_labels

    if side not in spaces:
        raise DataError(
            f"init_method={method} needs vectors of the {side} pieces; there are some of "
            f"{', '.join(sorted(spaces))}"
        )
    labels = piece_labels(tokenizer)
    vectors, known = spaces[side].lookup([label or "" for label in labels], ngrams=ngrams)
    known &= torch.tensor([label is not None for label in labels], dtype=torch.bool)
    return vectors, known


def _word_weights(space: "VectorSpace", count: int, weighting: Weighting) -> np.ndarray:
    if weighting is Weighting.inverse_rank:
        return 1.0 / np.arange(1, count + 1)
    if weighting is Weighting.counts and space.counts is not None:
        return space.counts[:count].double().numpy()
    return np.ones(count)


def _targets(resources: InitResources) -> list[str]:
    named = resources.languages or sorted(resources.word_vectors)
    return [language for language in named if language != resources.source_language]
