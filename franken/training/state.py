"""How far a run is, and the report made of it at the end: plain data throughout."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

CURVE_POINTS = 500
"""Training curves are thinned to at most this many points."""


def is_curve_point(step: int, steps: int) -> bool:
    """Whether the curve of a run of ``steps`` steps has a point after ``step`` (1-based)."""
    stride = max(1, math.ceil(steps / CURVE_POINTS))
    return (steps - step) % stride == 0


@dataclass
class RunState:
    """Everything that grows during training; part of every checkpoint."""

    step: int = 0
    tokens: int = 0
    """Tokens read, padding not counted."""
    bytes: int = 0
    """Bytes of text read."""
    seconds: float = 0.0
    """Time spent training: validation and checkpoints left out."""
    window_loss: float = 0.0
    window_steps: int = 0
    window_tokens: int = 0
    window_bytes: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    """``step, loss`` (mean since the point before, nats per token or pair)``, lr, grad_norm``, and
    of text ``bytes`` (read so far) and ``bits_per_byte`` (since the point before)."""
    validation: list[dict[str, float]] = field(default_factory=list)
    """``step, loss`` (nats per token)``, bits`` (per token)."""
    best_step: int | None = None
    best_loss: float | None = None

    def add_step(self, loss: float | None, tokens: int, text_bytes: int = 0) -> None:
        """Count one optimiser step; ``loss`` ``None``: one that read no text, but pairs alone."""
        self.step += 1
        self.tokens += tokens
        if loss is None:
            return
        self.bytes += text_bytes
        self.window_tokens += tokens
        self.window_bytes += text_bytes
        self.window_loss += loss
        self.window_steps += 1

    def close_window(
        self, lr: float, grad_norm: float, measures: dict[str, float] | None = None,
        otherwise: float = 0.0,
    ) -> dict[str, float]:  # fmt: skip
        """Turn the steps since the last point into a point of the curve.

        Args:
            lr: of the last step.
            grad_norm: of the last step.
            measures: whatever else the last step has to show.
            otherwise: the loss of a point whose steps read no text.
        """
        point = {
            "step": self.step,
            "loss": self.window_loss / self.window_steps if self.window_steps else otherwise,
            "lr": lr,
            "grad_norm": grad_norm,
            **self._text_measures(),
            **(measures or {}),
        }
        self.window_loss, self.window_steps = 0.0, 0
        self.window_tokens = self.window_bytes = 0
        self.curve.append(point)
        return point

    def _text_measures(self) -> dict[str, float]:
        if not self.window_bytes:
            return {}
        bits = self.window_loss / max(1, self.window_steps) / math.log(2)
        return {
            "bytes": self.bytes,
            "bits_per_byte": bits * self.window_tokens / self.window_bytes,
        }

    def add_validation(self, loss: float) -> dict[str, float]:
        """Append a point to the validation curve."""
        point = {"step": self.step, "loss": loss, "bits": loss / math.log(2)}
        self.validation.append(point)
        return point

    def plain(self) -> dict[str, Any]:
        """As a dict for a checkpoint."""
        return asdict(self)


@dataclass
class TrainingReport:
    """What a training phase did; JSON-able."""

    trainable: str
    trained_parameters: int
    all_parameters: int
    steps: int
    tokens: int
    bytes: int
    """Of text; 0 where the data do not tell."""
    seconds: float
    tokens_per_second: float
    final_loss: float | None
    """Mean training loss of the curve's last point, nats per token."""
    validation_loss: float | None
    """Of the weights that are returned, nats per token."""
    best_step: int | None
    """Step whose weights were kept; ``null`` without selection."""
    resumed_at: int
    """Step at which this process took over; 0: it did everything."""
    curve: list[dict[str, float]]
    validation: list[dict[str, float]]
    policy: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def make_report(state: RunState, policy: dict[str, Any], resumed_at: int) -> TrainingReport:
    """The report of a finished run."""
    last = state.validation[-1]["loss"] if state.validation else None
    return TrainingReport(
        trainable=policy["trainable"],
        trained_parameters=policy["trained_parameters"],
        all_parameters=policy["all_parameters"],
        steps=state.step,
        tokens=state.tokens,
        bytes=state.bytes,
        seconds=state.seconds,
        tokens_per_second=state.tokens / state.seconds if state.seconds > 0 else 0.0,
        final_loss=state.curve[-1]["loss"] if state.curve else None,
        validation_loss=state.best_loss if state.best_step is not None else last,
        best_step=state.best_step,
        resumed_at=resumed_at,
        curve=state.curve,
        validation=state.validation,
        policy=policy,
    )
