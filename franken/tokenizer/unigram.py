"""Train a Unigram vocabulary so that equal text gives equal pieces.

The trainer of ``tokenizers`` reads its words from a randomly ordered hash map and returns other
pieces in every process. This one follows the same scheme (Kudo, 2018): many seed pieces,
expectation maximisation, and pruning of the pieces whose loss hurts least. It differs in that the
expectation is taken over the best segmentation (Viterbi) instead of over all, so that the fast
encoder does the work.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

EM_STEPS = 2
KEEP_SHARE = 0.75
"""Of the pieces above the target number, per round; SentencePiece's ``shrinking_factor``."""
SEEDS_PER_PIECE = 3
UNSEEN = 0.5
"""Count of a piece that no best segmentation uses."""


def train_unigram(
    words: Counter[str], alphabet: Sequence[str], seeds: Iterable[str], count: int
) -> dict[str, float]:
    """Choose pieces and estimate their log probabilities.

    Args:
        words: Pre-tokenised words with their frequencies, spelt in ``alphabet``.
        alphabet: Characters that stay whatever happens.
        seeds: Candidates of two or more characters, best first.
        count: How many of them stay at most; those that no word needs go in any case.

    Returns:
        Natural log probability of each character and each chosen piece.
    """
    spelled, weights = list(words), np.array(list(words.values()), dtype=np.float64)
    ranked = [*dict.fromkeys(seeds)]
    # Zipf's law for a start. Without the normalisation every split would beat its whole.
    mass = math.log(sum(1.0 / (rank + 2.0) for rank in range(len(ranked) + len(alphabet))))
    scores = {piece: -math.log(rank + 2.0) - mass for rank, piece in enumerate(ranked)}
    scores |= dict.fromkeys(alphabet, -math.log(len(ranked) + 2.0) - mass)
    fixed = set(alphabet)
    while True:
        for _ in range(EM_STEPS):
            scores, unseen = _estimate(spelled, weights, scores)
        pieces = [piece for piece in scores if piece not in fixed]
        if len(pieces) <= count:
            return {p: score for p, score in scores.items() if p in fixed or p not in unseen}
        keep = max(count, int(KEEP_SHARE * len(pieces)))
        losses = {piece: _loss(piece, scores) for piece in pieces}
        best = set(sorted(pieces, key=lambda piece: (-losses[piece], piece))[:keep])
        scores = {p: score for p, score in scores.items() if p in fixed or p in best}


def _estimate(
    spelled: list[str], weights: np.ndarray, scores: Mapping[str, float]
) -> tuple[dict[str, float], set[str]]:
    """One step of Viterbi training: new scores, and the pieces that no word uses."""
    from tokenizers import Tokenizer

    names = list(scores)
    model = {
        "type": "Unigram",
        "unk_id": 0,
        "vocab": [["<unk>", 0.0], *([name, scores[name]] for name in names)],
        "byte_fallback": False,
    }
    backend = Tokenizer.from_str(json.dumps({"version": "1.0", "model": model}))
    counts = np.zeros(len(names) + 1)
    for start in range(0, len(spelled), 4096):
        batch = backend.encode_batch_fast(spelled[start : start + 4096], add_special_tokens=False)
        lengths = [len(encoding.ids) for encoding in batch]
        ids = np.concatenate([np.asarray(encoding.ids, dtype=np.int64) for encoding in batch])
        spread = np.repeat(weights[start : start + 4096], lengths)
        counts += np.bincount(ids, weights=spread, minlength=len(counts))
    seen = np.maximum(counts[1:], UNSEEN)
    unseen = {name for name, used in zip(names, counts[1:].tolist(), strict=True) if not used}
    return dict(zip(names, np.log(seen / seen.sum()).tolist(), strict=True)), unseen


def _loss(piece: str, scores: Mapping[str, float]) -> float:
    """Expected fall of the log likelihood when ``piece`` is taken apart, per word of text."""
    best = [0.0] + [-math.inf] * len(piece)
    for end in range(1, len(piece) + 1):
        for start in range(end):
            part = piece[start:end]
            if part != piece and part in scores:
                best[end] = max(best[end], best[start] + scores[part])
    return math.exp(scores[piece]) * (scores[piece] - best[-1])
