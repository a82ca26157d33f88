"""Options of the group ``preference``: how a model is tuned on preferred and rejected answers."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class PreferenceConfig:
    """Direct preference optimisation (Rafailov et al. 2023), on the answers' tokens alone.

    Of the schedule, ``batch_size`` counts pairs and ``sequence_length`` bounds a prompt with one of
    its answers: longer pairs are left out and counted. Dropout is off.
    """

    name: str = "dpo_normalised"
    beta: float = 10.0
    """Strength of the pull to the reference model, which is the model that training starts from."""
    length_normalised: bool = True
    """Divide each answer's log-ratio by its tokens, end token included; then ``beta`` is about a
    hundred times as large for the same pull."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.beta > 0:
            yield "beta", f"must be above 0, got {self.beta}"


OPTIONS = {"dpo": PreferenceConfig}
