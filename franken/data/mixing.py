"""From the shares of a mixture to the probability of every stream."""

from collections.abc import Mapping
from dataclasses import dataclass

from franken.config.data import Mixture, Unit
from franken.data.sampling import language_probabilities
from franken.data.source import TEXT_STREAMS


@dataclass(frozen=True, order=True)
class StreamKey:
    """One stream of records: a role in a language."""

    role: str
    language: str

    def __str__(self) -> str:
        return f"{self.role}/{self.language}"


@dataclass(frozen=True)
class StreamSize:
    """How much a stream holds."""

    records: int
    tokens: int
    characters: int
    """Of the tokens."""
    stream_characters: int
    """Of the whole stream, as far as it was looked at; what samplers go by."""

    @property
    def record_tokens(self) -> float:
        """Mean tokens per record."""
        return self.tokens / self.records if self.records else 0.0


def stream_probabilities(
    sizes: Mapping[StreamKey, StreamSize],
    mixture: Mixture,
    token_budget: int,
    source_language: str,
) -> dict[StreamKey, float]:
    """Share of the training tokens that each stream provides.

    Shares of roles are normalised over the roles present; within a role the sampler decides.
    With ``unit=instances`` shares count records, so a stream weighs by its mean record length.

    Args:
        sizes: What each stream holds.
        mixture: Shares, sampler, unit.
        token_budget: Tokens of the whole training phase.
        source_language: The language of ``mixture.source_share``.

    Returns:
        Stream -> probability of a sequence to come from it; they sum to 1.
    """
    shares = {key.role: mixture.shares.get(key.role, 0.0) for key in sizes}
    total = sum(shares.values())
    weights: dict[StreamKey, float] = {}
    for role in sorted(shares):
        share = shares[role] / total if total > 0 else 0.0
        members = {key.language: sizes[key] for key in sorted(sizes) if key.role == role}
        whole = {language: float(size.stream_characters) for language, size in members.items()}
        tokens = sum(size.tokens for size in members.values())
        characters = sum(size.characters for size in members.values())
        per_token = characters / tokens if tokens else 1.0
        spread = language_probabilities(
            whole,
            mixture,
            token_budget * share * per_token,
            source_language if role in TEXT_STREAMS else "",
        )
        for language, probability in spread.items():
            key = StreamKey(role, language)
            record = sizes[key].record_tokens if mixture.unit is Unit.instances else 1.0
            weights[key] = share * probability * record
    sum_of_weights = sum(weights.values())
    return {key: weight / sum_of_weights for key, weight in sorted(weights.items())}
