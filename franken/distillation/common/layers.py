"""What a masked model makes of a batch in every layer, and how two such readings differ."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from franken.errors import CompatibilityError


@dataclass(frozen=True)
class Reading:
    """One forward pass.

    Attributes:
        states: ``(B, L, D)`` what enters the first layer, then what each one gives.
        attentions: ``(B, H, L, L)`` of each layer.
        logits: ``(N, V)`` at the hidden tokens.
    """

    states: tuple[Tensor, ...]
    attentions: tuple[Tensor, ...]
    logits: Tensor


def layers_apart(student: Reading, teacher: Reading) -> int:
    """How many layers of the teacher stand for one of the student.

    Raises:
        CompatibilityError: where they do not share out evenly.
    """
    few, many = len(student.attentions), len(teacher.attentions)
    if many % few:
        raise CompatibilityError(
            f"the teacher's {many} layers do not share out over the student's {few}; thin it by a "
            "number that divides them"
        )
    return many // few


def state_error(student: Reading, teacher: Reading, seen: Tensor) -> Tensor:
    """Mean squared error of states, over tokens, width and matched layers; rows included.

    Args:
        student: trains.
        teacher: does not; the student's state s is compared with its state s * ratio.
        seen: ``(B, L)`` 1 where there is a token.
    """
    ratio = layers_apart(student, teacher)
    inside = seen.bool()
    errors = [
        F.mse_loss(own[inside], teacher.states[at * ratio][inside])
        for at, own in enumerate(student.states)
    ]
    return torch.stack(errors).mean()


def attention_error(student: Reading, teacher: Reading, seen: Tensor) -> Tensor:
    """Mean squared error of attention between tokens, over heads and matched layers."""
    ratio = layers_apart(student, teacher)
    pairs = (seen[:, :, None] * seen[:, None, :]).bool()[:, None]
    errors = []
    for at, own in enumerate(student.attentions):
        other = teacher.attentions[(at + 1) * ratio - 1]
        chosen = pairs.expand_as(own)
        errors.append(F.mse_loss(own[chosen], other[chosen]))
    return torch.stack(errors).mean()


def guess_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 KL(teacher || student)`` of ``(N, V)`` logits, a mean over N; 0 where there is none."""
    if not len(student):
        return student.sum() * 0.0
    own, goal = (F.log_softmax(side / temperature, dim=-1) for side in (student, teacher))
    return temperature**2 * F.kl_div(own, goal, log_target=True, reduction="batchmean")
