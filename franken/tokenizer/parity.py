"""BPE that serves the language whose text is longest in tokens (arXiv 2508.04796, ACL 2026)."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from franken.tokenizer.continued import MIN_FREQUENCY, Continuation, Learner, PairTable
from franken.tokenizer.token_words import TokenWords


@dataclass(frozen=True)
class Measured:
    """The text by which a language's cost is known."""

    words: TokenWords
    units: float
    """What its tokens are divided by: lines of a text that all languages have, or characters."""


@dataclass(frozen=True)
class ParityLearnt:
    """What was learnt, and for whom."""

    continuation: Continuation
    chosen: dict[str, int]
    """Language -> how many merges were made since its text was the longest."""
    costs: dict[str, tuple[float, float]]
    """Language -> tokens per unit before and after."""


def continue_in_parity(
    training: Mapping[str, TokenWords],
    measured: Mapping[str, Measured],
    learner: Learner,
    *,
    min_frequency: int = MIN_FREQUENCY,
    window: int | None = None,
    alpha: float = 2.0,
) -> ParityLearnt:
    """Learn merges as :func:`continue_merges`, each for the language that is worst off.

    Before every merge that is the one with most tokens per unit of ``measured``; its most frequent
    pair is merged in all languages. One without such a pair is left out from then on.

    Args:
        training: words of each language, of which pairs are counted.
        measured: text of each language, by which costs are told.
        learner: says how many pieces are wanted, and which may not be; it learns them.
        min_frequency: a pair that a language's text holds less often is not merged for it.
        window: a language that had more than ``alpha / languages`` of the last so many merges
            sits out, if there is another; ``None``: none does.
        alpha: as said.
    """
    tables = {language: PairTable(words) for language, words in training.items()}
    judges = {language: PairTable(text.words) for language, text in measured.items()}
    whole = {language: int(text.words.usage.sum()) for language, text in measured.items()}
    pairs = {language: table.best_first(min_frequency) for language, table in tables.items()}
    chosen: Counter[str] = Counter()
    recent: deque[str] = deque(maxlen=window or 0)

    def cost(language: str) -> float:
        left = whole[language] - judges[language].merged
        return left / measured[language].units

    before = {language: cost(language) for language in tables}
    while pairs:
        busy = Counter(recent)
        limit = alpha * (window or 0) / len(tables)
        rested = [language for language in pairs if not window or busy[language] <= limit]
        language = max(rested or pairs, key=cost)
        frequency, letters = next(pairs[language], (0, ""))
        if not letters:
            del pairs[language]
            continue
        if learner.is_full_for(letters):
            break
        new = learner.take(letters, frequency)
        if new is None:
            continue
        chosen[language] += 1
        recent.append(language)
        for table in (*tables.values(), *judges.values()):
            table.merge(letters, new)
    return ParityLearnt(
        learner.continuation(),
        {language: chosen[language] for language in tables},
        {language: (before[language], cost(language)) for language in tables},
    )
