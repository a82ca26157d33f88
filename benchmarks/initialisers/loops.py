"""Initialisers as one writes them first: one new row after the other.

Each function reads what the method reads and returns ``make(row)``, the part that is timed: the
source rows and weights of one new row, or the row itself. Tables of vectors and lists of anchors
are made before the clock starts. Where a method spends time on words or word pairs too, a function
``*_rest`` times a sample of those.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.init_method import Provenance, TokenMap
from franken.token_map.dictionary import Dictionary
from franken.token_map.token_vectors import (
    OFA_FORMS,
    RUNNING,
    Weighting,
    decoded_vectors,
    languages_in_one_space,
    piece_space_vectors,
    pooled_vectors,
)
from franken.tokenizer.pipeline import BYTE_PIECES
from franken.tokenizer.scripts import main_script
from franken.word_vectors.common.align import aligned, identical_words
from initialisers.timing import now
from initialisers.world import SOURCE, TARGET, World

Weights = tuple[np.ndarray, np.ndarray]
"""Source rows and weights."""
Make = Callable[[int], Weights | Tensor]
Config = Any
BYTES = frozenset(BYTE_PIECES)


def subtoken_mean(world: World, token_map: TokenMap, config: Config) -> Make:
    tokenizer = world.source.tokenizer

    def make(row: int) -> Weights:
        text = (world.target_bytes[row] or b"").decode()
        return _equal(tokenizer(text, add_special_tokens=False)["input_ids"])

    return make


def subtoken_max(world: World, token_map: TokenMap, config: Config) -> Make:
    tokenizer, table = world.source.tokenizer, world.source.input

    def make(row: int) -> Tensor:
        text = (world.target_bytes[row] or b"").decode()
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return table[torch.tensor(ids)].float().amax(dim=0)

    return make


def lexicon(world: World, token_map: TokenMap, config: Config) -> Make:
    """Words that the lexicon lists as they are; the other rules are left out."""
    dictionary, tokenizer = Dictionary(world.resources.lexicons), world.source.tokenizer

    def make(row: int) -> Weights:
        text = (world.target_bytes[row] or b"").decode()
        found = dictionary.exact(text.strip())
        lead = " " * text.startswith(" ")
        ids = [tokenizer(lead + word, add_special_tokens=False)["input_ids"] for word in found]
        shares = [np.full(len(part), 1 / len(part) / len(ids)) for part in ids]
        return np.concatenate(ids), np.concatenate(shares)

    return make


def lexicon_rows(world: World, token_map: TokenMap) -> list[int]:
    dictionary = Dictionary(world.resources.lexicons)
    texts = [(row, world.target_bytes[row] or b"") for row in computed_rows(world, token_map)]
    return [row for row, data in texts
            if data.startswith(b" ") and dictionary.exact(data.decode().strip())]  # fmt: skip


def wechsel(world: World, token_map: TokenMap, config: Config) -> Make:
    spaces, _ = languages_in_one_space(world.resources, config.align, config.name)
    target = decoded_vectors(world.target_bytes, [spaces[TARGET]])[0]
    source, known = decoded_vectors(world.source_bytes, [spaces[SOURCE]])
    return _nearest_softmax(target, source, known, config)


def ofa(world: World, token_map: TokenMap, config: Config) -> Make:
    spaces, _ = languages_in_one_space(world.resources, config.align, config.name)
    both = list(spaces.values())
    options: dict[str, Any] = {"weighting": Weighting.equal, "forms": OFA_FORMS}
    target, _ = pooled_vectors(world.target, len(world.target_bytes), both, **options)
    source, known = pooled_vectors(world.source.tokenizer, world.source.rows, both, **options)
    return _nearest_softmax(target, source, known, config)


def ofa_rest(world: World, token_map: TokenMap, config: Config, count: int) -> float:
    spaces = world.resources.word_vectors.values()
    words = [word for space in spaces for word in space.words]
    each = [_cut_words(words, OFA_FORMS, side, count, world) for side in _tokenizers(world)]
    return sum(each) * len(words)


def ramen_vectors(world: World, token_map: TokenMap, config: Config) -> Make:
    spaces, _ = languages_in_one_space(world.resources, config.align, config.name)
    options: dict[str, Any] = {
        "weighting": Weighting.inverse_rank, "forms": RUNNING, "max_words": config.max_words,
    }  # fmt: skip
    rows = len(world.target_bytes)
    target, _ = pooled_vectors(world.target, rows, [spaces[TARGET]], **options)
    source, known = pooled_vectors(
        world.source.tokenizer, world.source.rows, [spaces[SOURCE]], **options
    )
    anchors = known.nonzero().flatten()
    return _sparsemax_row(target, source[anchors], anchors.numpy())


def ramen_vectors_rest(world: World, token_map: TokenMap, config: Config, count: int) -> float:
    total = 0.0
    for language, side in zip((SOURCE, TARGET), _tokenizers(world), strict=True):
        words = world.resources.word_vectors[language].words[: config.max_words]
        total += _cut_words(words, RUNNING, side, count, world) * len(words)
    return total


def focus(world: World, token_map: TokenMap, config: Config) -> Make:
    spaces = world.resources.piece_vectors
    target, _ = piece_space_vectors(spaces, "target", world.target, config.name, ngrams=False)
    rows = list(world.overlap)
    return _sparsemax_row(target, target[rows], np.array(list(world.overlap.values())))


def unibridge(world: World, token_map: TokenMap, config: Config) -> Make:
    """Semantic copy if nearest to each other among open pieces, else sparsemax."""
    spaces = dict(world.resources.piece_vectors)
    shared = identical_words(spaces["source"], spaces["target"])
    spaces["source"], _ = aligned(spaces["source"], spaces["target"], shared, what="benchmark")
    target, _ = piece_space_vectors(spaces, "target", world.target, config.name, ngrams=True)
    source, known = piece_space_vectors(
        spaces, "source", world.source.tokenizer, config.name, ngrams=False
    )
    copied = world.overlap | _single_sources(token_map)
    opened = [row for row, data in enumerate(world.target_bytes)
              if data is not None and row not in world.overlap]  # fmt: skip
    queries, candidates = _unit(target[opened]), known.nonzero().flatten()
    old = _unit(source[candidates])
    by_anchors = _sparsemax_row(target, target[list(copied)], np.array(list(copied.values())))
    places = {row: place for place, row in enumerate(opened)}

    def make(row: int) -> Weights:
        place = places[row]
        nearest = int((old @ queries[place]).argmax())
        if int((queries @ old[nearest]).argmax()) == place:
            return _equal([int(candidates[nearest])])
        return by_anchors(row)

    return make


def clp_plus(world: World, token_map: TokenMap, config: Config) -> Make:
    helper = world.resources.helper
    assert helper is not None
    rows, columns = _anchors(world, config)
    return _sparsemax_row(helper.input, helper.input[rows], columns)


def salt(world: World, token_map: TokenMap, config: Config) -> Make:
    """As published: ``X = pinv(E'_t) E'_s`` for each token, then ``e X``."""
    helper = world.resources.helper
    assert helper is not None
    vectors, _ = decoded_vectors(world.target_bytes, [world.resources.word_vectors[TARGET]])
    rows, columns = _anchors(world, config)
    anchors, own = _unit(vectors[rows]), helper.input[rows]

    def make(row: int) -> Tensor:
        near = np.flatnonzero(_full_sparsemax((anchors @ _unit(vectors[row])).numpy()))
        old = world.source.input[torch.from_numpy(columns[near])].float()
        mapping = torch.linalg.pinv(own[near]) @ old
        return helper.input[row] @ mapping

    return make


def omp(world: World, token_map: TokenMap, config: Config) -> Make:
    """Least squares over all atoms chosen so far, after each new one."""
    helper = world.resources.helper
    assert helper is not None
    rows, columns = _anchors(world, config)
    anchors = helper.input[rows]

    def make(row: int) -> Weights:
        wanted, chosen = helper.input[row], []
        residual, weights = wanted, torch.empty(0)
        for _ in range(min(config.k, len(anchors), anchors.shape[1])):
            scores = (anchors @ residual).abs()
            scores[chosen] = -1
            chosen.append(int(scores.argmax()))
            atoms = anchors[chosen]
            weights = torch.linalg.lstsq(atoms.T, wanted[:, None]).solution[:, 0]
            residual = wanted - weights @ atoms
        return columns[chosen], weights.numpy()

    return make


def local_least_squares(world: World, token_map: TokenMap, config: Config) -> Make:
    helper = world.resources.helper
    assert helper is not None
    rows, columns = _anchors(world, config)
    anchors = helper.input[rows]

    def make(row: int) -> Weights:
        distances = (anchors - helper.input[row]).square().sum(1).numpy()
        near = np.argpartition(distances, min(config.k, len(distances) - 1))[: config.k]
        weights = helper.input[row] @ torch.linalg.pinv(anchors[near])
        return columns[near], weights.numpy()

    return make


def embedding_structure(world: World, token_map: TokenMap, config: Config) -> Make:
    """One generator per row; means and deviations of the classes are there already."""
    mean, std = torch.zeros(world.sizes.hidden), torch.ones(world.sizes.hidden)

    def make(row: int) -> Tensor:
        main_script((world.target_bytes[row] or b"").decode().strip())
        generator = torch.Generator().manual_seed(row)
        return torch.normal(mean, std, generator=generator)

    return make


def unks_everywhere(world: World, token_map: TokenMap, config: Config) -> Make:
    """Coordinates drawn row by row and multiplied out; the factorisation is there already."""
    mean, std = torch.zeros(config.dim), torch.ones(config.dim)
    basis = torch.randn(config.dim, world.sizes.hidden)

    def make(row: int) -> Tensor:
        generator = torch.Generator().manual_seed(row)
        return torch.normal(mean, std, generator=generator) @ basis

    return make


def trans_tokenization_rest(world: World, token_map: TokenMap, config: Config, count: int) -> float:
    """Word pairs into dictionaries, then every token without evidence asks every other one."""
    seconds = _spread_pairs(world, 20 * count, config.min_count, in_order=True)
    wanting = (token_map.provenance == int(Provenance.fallback)).nonzero().flatten().tolist()
    names = [data or b"\xff" for data in world.target_bytes]
    chosen = wanting[:: max(1, len(wanting) // count)][:count]
    started = now()
    for row in chosen:
        name = names[row]
        for other in names:
            if other.startswith(name) or other in name:
                _ = other.startswith(b" ")
    spent = now() - started
    return seconds + spent * len(wanting) / max(len(chosen), 1)


def ramen_rest(world: World, token_map: TokenMap, config: Config, count: int) -> float:
    return _spread_pairs(world, 20 * count, 0.0, in_order=False)


def computed_rows(world: World, token_map: TokenMap) -> list[int]:
    """Rows that the method made."""
    found = token_map.provenance == int(Provenance.computed)
    return found.nonzero().flatten().tolist()


def fallback_rows(world: World, token_map: TokenMap) -> list[int]:
    """Rows that are drawn."""
    found = token_map.provenance == int(Provenance.fallback)
    return found.nonzero().flatten().tolist()


def _spread_pairs(world: World, count: int, minimum: float, *, in_order: bool) -> float:
    """Seconds for all word pairs: cut both words, add to a dictionary of dictionaries."""
    table, (old, new) = world.resources.alignments[TARGET], _tokenizers(world)
    pairs = np.flatnonzero(table.links >= minimum)
    chosen = pairs[:: max(1, len(pairs) // count)][:count]
    counts: dict[int, dict[int, float]] = {}
    started = now()
    for index in chosen.tolist():
        first, second = table.pairs[index].tolist()
        left = old(" " + table.source[first], add_special_tokens=False)["input_ids"]
        right = new(" " + table.target[second], add_special_tokens=False)["input_ids"]
        weight = float(table.links[index]) / len(left)
        for place, token in enumerate(right):
            row = counts.setdefault(token, {})
            for piece in left:
                row[piece] = row.get(piece, 0.0) + weight
            if in_order:
                piece = left[place * len(left) // len(right)]
                row[piece] = row.get(piece, 0.0) + weight
    return (now() - started) * len(pairs) / max(len(chosen), 1)


def _cut_words(
    words: list[str], forms: Iterable[str], tokenizer: Any, count: int, world: World
) -> float:
    """Seconds per word: cut each form, add the word's vector to each piece's sum."""
    sums: dict[int, np.ndarray] = {}
    vector = np.ones(world.sizes.vector_dim, np.float32)
    chosen = words[:: max(1, len(words) // count)][:count]
    started = now()
    for word in chosen:
        for form in forms:
            text = form.format(word, title=word.title())
            for piece in set(tokenizer(text, add_special_tokens=False)["input_ids"]):
                sums[piece] = sums[piece] + vector if piece in sums else vector
    return (now() - started) / max(len(chosen), 1)


def _anchors(world: World, config: Config) -> tuple[list[int], np.ndarray]:
    """Target ids and source rows of the shared pieces that the options let take part."""
    rows = list(world.overlap)
    if config.anchors.drop_bytes:
        names = world.target.convert_ids_to_tokens(rows)
        rows = [row for row, name in zip(rows, names, strict=True) if name not in BYTES]
    return rows, np.array([world.overlap[row] for row in rows])


def _nearest_softmax(target: Tensor, source: Tensor, known: Tensor, config: Config) -> Make:
    places = known.nonzero().flatten().numpy()
    candidates = _unit(source[known])

    def make(row: int) -> Weights:
        cosines = (candidates @ _unit(target[row])).numpy()
        near = np.argpartition(-cosines, config.neighbours)[: config.neighbours]
        weights = np.exp(cosines[near] / config.temperature)
        return places[near], weights / weights.sum()

    return make


def _sparsemax_row(queries: Tensor, anchors: Tensor, columns: np.ndarray) -> Make:
    directions = _unit(anchors)

    def make(row: int) -> Weights:
        weights = _full_sparsemax((directions @ _unit(queries[row])).numpy())
        near = np.flatnonzero(weights)
        return columns[near], weights[near]

    return make


def _full_sparsemax(scores: np.ndarray) -> np.ndarray:
    """Over all scores, sorted whole."""
    falling = np.sort(scores.astype(np.float64))[::-1]
    totals, count = np.cumsum(falling), np.arange(1, len(scores) + 1)
    support = int((1 + count * falling > totals).sum())
    weights: np.ndarray = np.maximum(scores - (totals[support - 1] - 1) / support, 0)
    return weights


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-30)


def _equal(ids: list[int]) -> Weights:
    return np.array(ids, np.int64), np.full(len(ids), 1 / len(ids))


def _tokenizers(world: World) -> tuple[Any, Any]:
    return world.source.tokenizer, world.target


def _single_sources(token_map: TokenMap) -> dict[int, int]:
    """Computed rows of one source row: what UniBridge copies."""
    chosen = (token_map.provenance == int(Provenance.computed)) & (token_map.sizes() == 1)
    rows = chosen.nonzero().flatten()
    columns = token_map.indices[token_map.indptr[rows]]
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))
