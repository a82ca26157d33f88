"""Direct preference optimisation (Rafailov et al. 2023), on the answers' tokens alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.declare import option
from franken.lazy import later
from franken.preference.base import Preference

with later():
    from torch import Tensor
    from torch.nn.functional import logsigmoid

    from franken.preference.base import PairLosses


@option
class Dpo(Preference):
    """Plain DPO with beta 0.01: the settings published for Qwen-2.5 targets."""

    paper: ClassVar[str] = "Rafailov et al. 2023"

    beta: float = 0.01
    """Strength of the pull to the reference model, which is the model that training starts from."""
    length_normalised: bool = False
    """Divide each answer's log-ratio by its tokens, end token included; then ``beta`` is about a
    hundred times as large for the same pull."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.beta > 0:
            yield "beta", f"must be above 0, got {self.beta}"

    def losses(self, policy: Tensor, reference: Tensor, lengths: Tensor) -> PairLosses:
        """``-log sigmoid(beta r(chosen) - beta r(rejected))``, ``r`` the two models' log-ratio.

        With ``length_normalised`` each ``r`` is divided by its answer's length (GraftLLM 3, after
        FuseChat-3.0). The loss is log 2 where policy and reference agree.
        """
        ratios = policy - reference.detach()
        if self.length_normalised:
            ratios = ratios / lengths
        margins = self.beta * (ratios[:, 0] - ratios[:, 1])
        return PairLosses(-logsigmoid(margins), ratios.detach(), margins.detach())
