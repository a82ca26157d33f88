"""What every engine takes and gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from franken.inference.xtransplant.choices import Op, Positions, Site, Steps
from franken.inference.xtransplant.host import Host

Pair = tuple[int, int]
"""Source (donor) layer i, target layer j."""


@dataclass(frozen=True)
class Intervention:
    """What is transplanted and how."""

    site: Site = Site.ffn_out
    op: Op = Op.replace
    alpha: float = 1.0
    positions: Positions = Positions.last
    steps: Steps = Steps.prefill

    def combine(self, own: Tensor, donor: Tensor) -> Tensor:
        """The target's own activation and the donor's, by ``op``; shapes broadcast.

        With ``alpha = 0``, ``add`` and ``lerp`` give back ``own`` bit for bit.
        """
        donor = donor.to(own)
        match self.op:
            case Op.replace:
                return donor.expand(torch.broadcast_shapes(own.shape, donor.shape))
            case Op.add:
                return own + self.alpha * donor
            case Op.lerp:
                return (1.0 - self.alpha) * own + self.alpha * donor


@dataclass(frozen=True)
class Decoding:
    """Greedy decoding; nothing is read from a checkpoint's generation config."""

    max_new_tokens: int = 20
    stop_ids: tuple[int, ...] = ()
    """End-of-text ids; the row ends with the first one, which is kept."""
    repetition_penalty: float = 1.0
    """As in transformers: over prompt and new tokens, per row."""
    leads: bool = False
    """Rows write their task's ``lead`` first, whatever the logits say."""

    def scoring(self, lead: int) -> "Decoding":
        """The pass that tells options apart: leads of up to ``lead`` tokens and one token more."""
        return replace(self, max_new_tokens=lead + 1, stop_ids=(), leads=True)


@dataclass(frozen=True)
class Donor:
    """Where vectors come from."""

    ids: Tensor
    """``(Q,)`` prompt."""
    noise_seed: int | None = None
    """Replace each vector by Gaussian noise of its norm, drawn from this seed."""


@dataclass(frozen=True)
class Task:
    """One sample: the prompt that is answered, and the donor."""

    target: Tensor
    """``(P,)`` prompt; p = P - 1 is the patched position."""
    donor: Donor
    draft: tuple[int, ...] = ()
    """A guess at the answer, such as that without a transplant; see ``Options.draft_rows``."""
    watch: tuple[int, ...] = ()
    """Token ids whose logits are wanted after ``lead`` (option scoring)."""
    lead: tuple[int, ...] = ()
    """Tokens that all options begin with; fed where ``Decoding.leads`` says so, and without them
    nothing is watched."""
    decided: Callable[[Sequence[int]], bool] | None = None
    """Whether a row with these new tokens may end; asked after each token."""
    solved: Callable[[Sequence[int]], bool] | None = None
    """Whether a finished row with these new tokens ends the whole sample."""

    def same_prompts(self) -> bool:
        """Whether donor and target are one prompt and the vectors are really its own."""
        return self.donor.noise_seed is None and torch.equal(self.target, self.donor.ids)


@dataclass
class Runs:
    """Answers of one sample, row by row in the order of ``pairs``."""

    pairs: list[Pair]
    tokens: list[list[int]]
    """New tokens, an end-of-text included."""
    margins: Tensor
    """``(M, G)`` difference of the best two logits at each step; infinite after the end."""
    first_logits: Tensor | None = None
    """``(M, V)`` logits of the first step, where asked for."""
    watched: Tensor | None = None
    """``(M, W)`` logits of the watched ids, NaN where a row watches fewer or none."""
    layer_tokens: int = 0
    rows: int = 0
    """Rows decoded; fewer than pairs where some coincide."""
    cut: bool = False
    """Whether the sample ended before all rows were finished (``solved``)."""
    finished: list[bool] = field(default_factory=list)
    """Per row whether its text is whole; in a sample that was cut, some are not."""

    def least_margin(self) -> list[float]:
        """The smallest margin of each row."""
        return [float(value) for value in self.margins.amin(dim=1)]

    def taken(self, rows: Sequence[int]) -> "Runs":
        """The rows at these places."""
        index = torch.tensor(list(rows), dtype=torch.long)
        return replace(
            self,
            pairs=[self.pairs[at] for at in rows],
            tokens=[self.tokens[at] for at in rows],
            margins=self.margins[index],
            first_logits=None if self.first_logits is None else self.first_logits[index],
            watched=None if self.watched is None else self.watched[index],
            finished=[self.finished[at] for at in rows],
        )


@dataclass(frozen=True)
class Options:
    """What does not change the tokens."""

    share: bool = True
    keep_logits: bool = False
    max_rows: int | None = None
    draft_rows: int = 0
    """Up to so many rows, ``wavefront`` looks at several drafted tokens in one pass."""


PLAIN = Options()


class EngineRun(Protocol):
    """An engine."""

    def __call__(
        self,
        host: Host,
        task: Task,
        pairs: Sequence[Pair],
        intervention: Intervention,
        decoding: Decoding,
        options: Options = ...,
    ) -> Runs:
        """Answers of one sample for all pairs."""
        ...


@dataclass
class Clock:
    """Layer tokens between two looks."""

    host: Host
    start: int = field(init=False)

    def __post_init__(self) -> None:
        self.start = self.host.layer_tokens

    def spent(self) -> int:
        """Since this was made."""
        return self.host.layer_tokens - self.start
