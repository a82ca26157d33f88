"""How a token budget is spread over languages of unequal size."""

from collections.abc import Mapping

from franken.config.data import Mixture, Sampling


def unimax(sizes: Mapping[str, float], budget: float, epochs: float) -> dict[str, float]:
    """Spread a budget as evenly as possible, repeating no language more than ``epochs`` times.

    UniMax (Chung et al. 2023, algorithm 1): from the smallest language to the largest, each gets an
    equal part of what is left, or ``epochs`` times its size if that is less.

    Args:
        sizes: Language -> size of its text, in characters, so that it does not depend on the
            vocabulary.
        budget: What is to be spread, in the same unit.
        epochs: UniMax's N; how often a language may be repeated.

    Returns:
        Language -> its part of the budget. The parts sum to ``budget``, or to ``epochs`` times the
        sum of the sizes if that is less.
    """
    parts: dict[str, float] = {}
    left = float(budget)
    by_size = sorted(sizes, key=lambda language: (sizes[language], language))
    for index, language in enumerate(by_size):
        part = min(left / (len(by_size) - index), epochs * sizes[language])
        parts[language] = part
        left -= part
    return {language: parts[language] for language in sorted(sizes)}


def temperature(sizes: Mapping[str, float], value: float) -> dict[str, float]:
    """Weights proportional to ``size ** (1 / value)``; 1 is proportional, infinity uniform."""
    largest = max(sizes.values(), default=0.0)
    return {
        language: (sizes[language] / largest) ** (1.0 / value) if largest > 0 else 0.0
        for language in sorted(sizes)
    }


def language_probabilities(
    sizes: Mapping[str, float], mixture: Mixture, budget: float, source_language: str
) -> dict[str, float]:
    """Probability of each language inside one role.

    With ``mixture.source_share`` the source language has exactly that share and the sampler spreads
    the rest; it has no effect where the source language is absent or alone.

    Args:
        sizes: Language -> characters.
        mixture: Sampler and its options.
        budget: Characters that the role will be drawn for; UniMax needs it.
        source_language: The language of ``source_share``.

    Returns:
        Language -> probability; they sum to 1.
    """
    share = mixture.source_share
    others = {language: size for language, size in sizes.items() if language != source_language}
    if share is None or source_language not in sizes or not others:
        return _normalised(_weights(sizes, mixture, budget))
    spread = _normalised(_weights(others, mixture, budget * (1.0 - share)))
    rest = {language: (1.0 - share) * value for language, value in spread.items()}
    return {
        language: share if language == source_language else rest[language]
        for language in sorted(sizes)
    }


def _weights(sizes: Mapping[str, float], mixture: Mixture, budget: float) -> dict[str, float]:
    match mixture.sampling:
        case Sampling.unimax:
            return unimax(sizes, budget, mixture.unimax_epochs)
        case Sampling.temperature:
            return temperature(sizes, mixture.temperature)
        case Sampling.proportional:
            return temperature(sizes, 1.0)


def _normalised(weights: Mapping[str, float]) -> dict[str, float]:
    total = sum(weights.values())
    if total <= 0:
        return {language: 1.0 / len(weights) for language in weights}
    return {language: weight / total for language, weight in weights.items()}
