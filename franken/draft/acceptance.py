"""How much a draft saves: tokens per pass of the target, under transformers' greedy assistance.

A round is ``gamma`` proposals of the draft and one pass of the target, which accepts the longest
equal prefix and adds a token of its own. Acceptance length: new tokens / passes of the target.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer


@dataclass(frozen=True)
class Acceptance:
    """Sums over all prompts."""

    prompts: int
    new_tokens: int
    target_passes: int
    draft_passes: int
    same_as_plain: int
    """Prompts whose assisted text is the plain greedy one; all of them in float32."""
    seconds: float
    plain_seconds: float
    cpu_seconds: float
    """Of this process, all threads: what other work on the machine does not change."""
    plain_cpu_seconds: float

    @property
    def length(self) -> float:
        """New tokens per pass of the target; 1 is what plain generation gives."""
        return self.new_tokens / max(1, self.target_passes)

    @property
    def rate(self) -> float:
        """Accepted proposals per proposal."""
        accepted = self.new_tokens - self.target_passes
        return accepted / max(1, self.draft_passes)

    @property
    def speed_up(self) -> float:
        """Plain time over assisted time."""
        return self.plain_seconds / max(1e-9, self.seconds)

    @property
    def cpu_speed_up(self) -> float:
        """The same by processor time."""
        return self.plain_cpu_seconds / max(1e-9, self.cpu_seconds)


def measure_acceptance(
    target: PreTrainedModel,
    draft: PreTrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    gamma: int = 4,
    new_tokens: int = 64,
) -> Acceptance:
    """Generate greedily with and without the draft, one prompt at a time, and count passes.

    The number of proposals is constant and no confidence stops it early (transformers' default
    stops at 0.4 and adapts the number between calls, which no figure could be compared under).
    """
    settings = draft.generation_config
    settings.num_assistant_tokens = gamma
    settings.num_assistant_tokens_schedule = "constant"
    settings.assistant_confidence_threshold = 0.0
    common: dict[str, Any] = {"max_new_tokens": new_tokens, "do_sample": False, "num_beams": 1}
    written = same = total = 0
    plain_time, assisted_time = _Clock(), _Clock()
    generate: Any = target.generate
    with _counted(target) as target_passes, _counted(draft) as draft_passes:
        for prompt in prompts:
            inputs = tokenizer(prompt, return_tensors="pt")
            with plain_time:
                plain = generate(**inputs, **common)
            target_passes[0] = 0
            with assisted_time:
                assisted = generate(**inputs, **common, assistant_model=draft)
            total += target_passes[0]
            written += assisted.shape[1] - inputs["input_ids"].shape[1]
            same += torch.equal(plain, assisted)
        drafted = draft_passes[0]
    return Acceptance(
        len(prompts), written, total, drafted, same, assisted_time.seconds, plain_time.seconds,
        assisted_time.cpu_seconds, plain_time.cpu_seconds,
    )  # fmt: skip


class _Clock:
    """Sums of the time that blocks take."""

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start[0]
        self.cpu_seconds += time.process_time() - self._start[1]


@contextmanager
def _counted(model: PreTrainedModel) -> Iterator[list[int]]:
    """Counts forward passes while the block runs."""
    count = [0]

    def add(*_: Any) -> None:
        count[0] += 1

    handle = model.register_forward_pre_hook(add)
    try:
        yield count
    finally:
        handle.remove()
