"""Speed that users feel: time to the first token, and characters per second at equal text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    import torch

    from franken.decoding import left_padded
    from franken.eval_suite.suite import Item, TaskRun
    from franken.statistics import Units


REPEATS = 3
"""Runs of each text; the fastest counts, as anything else on the machine only adds time."""
PROMPT_BYTES = 400
TEXT_BYTES = 120


@task_kind
class Speed(EvalTask):
    """Time to the first token, and characters per second at equal text."""

    reads_text: ClassVar[bool] = True

    def run(self, task: TaskRun) -> None:
        """Score texts of a role, one at a time, in each language.

        ``seconds_to_first_token``: reading the first 400 bytes of a text, or three quarters of a
        shorter one, and choosing a token. ``characters_per_second``: from there on writing up to
        120 bytes more of the same text, token by token from a cache: models of all vocabularies
        write the very same text, in as many tokens as each needs. Errors are those of the mean over
        texts. Figures of different machines do not compare.
        """
        for lang in task.languages(task.speaks):
            items: list[Item] = []
            for number, text in enumerate(task.held_out(lang)):
                prompt = split_at(text, min(PROMPT_BYTES, 3 * len(text.encode()) // 4))
                written = split_at(text[len(prompt) :], TEXT_BYTES)
                if prompt and written:
                    items.append({"lang": lang, "id": number, **timed(task, prompt, written)})
            if not items:
                task.skip(lang, "its texts are empty")
                continue
            ids = [item["id"] for item in items]
            ones = [1.0] * len(items)
            first = [float(item["first"]) for item in items]
            task.score(lang, "seconds_to_first_token", Units.of(ids, first, ones))
            characters = [float(item["characters"]) for item in items]
            seconds = [float(item["seconds"]) for item in items]
            task.score(lang, "characters_per_second", Units.of(ids, characters, seconds))
            task.keep(items)


def split_at(text: str, size: int) -> str:
    """The whole characters in the first ``size`` bytes of a text."""
    return text.encode()[:size].decode(errors="ignore")


def timed(task: TaskRun, prompt: str, text: str) -> Item:
    """Seconds to the first token, and to write a text of so many characters after it."""
    heads, tails = task.encoder.answers([prompt], [text])
    head, _ = task.encoder.opened(heads[0], task.readout.positions)
    firsts, rests = [], []
    for _ in range(REPEATS):
        first, rest = _one(task, head, tails[0])
        firsts.append(first)
        rests.append(rest)
    return {
        "first": min(firsts), "seconds": min(firsts) + min(rests), "characters": len(text),
        "prompt_tokens": len(head), "tokens": len(tails[0]),
    }  # fmt: skip


def _one(task: TaskRun, head: list[int], tail: list[int]) -> tuple[float, float]:
    readout = task.readout
    clock = _clock(readout.device)
    inputs, _, _ = left_padded([head])
    started = clock()
    output = readout.run(input_ids=inputs.to(readout.device), use_cache=True)
    readout.logits(readout.states(output)[:, -1]).argmax(-1).tolist()
    first = clock() - started
    started = clock()
    for token in tail[:-1]:
        output = readout.run(
            input_ids=torch.tensor([[token]], device=readout.device),
            past_key_values=output.past_key_values,
            use_cache=True,
        )
        readout.logits(readout.states(output)[:, -1]).argmax(-1).tolist()
    return first, clock() - started


def _clock(device: torch.device) -> Callable[[], float]:
    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now
