"""What torch's optimisers may be given to step with."""

from collections.abc import Callable
from typing import Any

import torch


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """What a closure computes, gradients included; ``None`` where there is none."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
