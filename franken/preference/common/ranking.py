"""Best and worst of n: from scored answers to a pair (GraftLLM 3, after FuseChat-3.0).

The best-scored answer is chosen, the worst rejected, both of one source model; a prompt whose
answers all score alike gives none, nor one whose gap lies outside the wanted range.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

DATA = "data"
"""Source of answers that came with the data: they compete with those of every model."""


@dataclass(frozen=True)
class Candidate:
    """An answer with its score."""

    text: str
    score: float
    source: str
    """Name of the model that gave it, or ``DATA``."""


@dataclass(frozen=True)
class Choice:
    """The two ends of one prompt's candidates."""

    best: Candidate
    worst: Candidate

    @property
    def gap(self) -> float:
        """By how much the best one leads."""
        return self.best.score - self.worst.score

    @property
    def source(self) -> str:
        """The model that gave both, or one beside the data's own answer."""
        return self.worst.source if self.best.source == DATA else self.best.source


class Skipped(StrEnum):
    """Why a prompt gives no pair."""

    nothing = "no_answers"
    tie = "ties"
    too_close = "gap_too_small"
    too_far = "gap_too_large"


def choose(
    candidates: Sequence[Candidate],
    *,
    same_source: bool = True,
    min_gap: float = 0.0,
    max_gap: float | None = None,
) -> Choice | Skipped:
    """Best and worst answer of a prompt, or why there are none.

    Among equal scores the one that comes first counts, so the order of drawing decides and not the
    wording.

    Args:
        candidates: of one prompt, in the order they were drawn.
        same_source: both must come from one model: the one with the best answer, and of several
            such the one with the widest gap.
        min_gap: pairs that lie closer are left out, ties always.
        max_gap: pairs that lie further apart are left out; ``None``: none.
    """
    if not candidates:
        return Skipped.nothing
    choices = [_ends(group) for group in _groups(candidates, same_source)]
    found = max(choices, key=lambda choice: (choice.gap > 0, choice.best.score, choice.gap))
    if found.gap <= 0:
        return Skipped.tie
    if found.gap < min_gap:
        return Skipped.too_close
    if max_gap is not None and found.gap > max_gap:
        return Skipped.too_far
    return found


def best_of(candidates: Sequence[Candidate]) -> Candidate:
    """The first of those with the highest score."""
    return max(candidates, key=lambda candidate: candidate.score)


def takes_share(number: int, share: float) -> bool:
    """Whether record ``number`` is one of the evenly spread ``share`` of all records."""
    return int((number + 1) * share + 1e-9) > int(number * share + 1e-9)


def _groups(candidates: Sequence[Candidate], same_source: bool) -> list[list[Candidate]]:
    models = dict.fromkeys(c.source for c in candidates if c.source != DATA)
    if not (same_source and models):
        return [list(candidates)]
    return [[c for c in candidates if c.source in (model, DATA)] for model in models]


def _ends(group: Sequence[Candidate]) -> Choice:
    return Choice(best_of(group), min(group, key=lambda candidate: candidate.score))
