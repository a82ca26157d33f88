"""Bits per byte of held-out text: the one loss that may be compared across vocabularies."""

from __future__ import annotations

import math
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    from franken.eval_suite.scoring import Request
    from franken.eval_suite.suite import Item, TaskRun
    from franken.statistics import Units


BITS_OF_A_HIDDEN_BYTE = 8.0
DEFAULT_WINDOW = 2048
"""Tokens, where neither the task nor the model sets a limit."""


@task_kind
class BitsPerByte(EvalTask):
    """Cross-entropy of held-out text in bits per UTF-8 byte."""

    reads_text: ClassVar[bool] = True

    def run(self, task: TaskRun) -> None:
        """``sum of -log2 p(token) / number of UTF-8 bytes`` over the ``valid`` part of a text role.

        Every real token of a document is predicted exactly once; what opens a text (``opening`` of
        the suite) is context only; eos is not predicted, so it counts neither in bits nor in bytes.
        A document longer than the window is cut into windows without overlap. Bytes that the ids do
        not tell, under an unknown token or under none, are charged eight bits each, what it takes
        to spell them: a vocabulary gains nothing by not knowing a text. ``hidden`` is their share.
        The standard error treats documents as the independent units.
        """
        for lang in task.languages(task.speaks):
            results = measure(task, lang, task.held_out(lang))
            bits = [float(item["bits"]) for item in results]
            sizes = [float(item["bytes"]) for item in results]
            task.score(
                lang,
                "bits_per_byte",
                Units.of([item["id"] for item in results], bits, sizes),
                bytes=int(sum(sizes)),
                tokens=sum(int(item["tokens"]) for item in results),
                hidden=sum(int(item["hidden_bytes"]) for item in results) / sum(sizes),
            )
            task.keep(results)


def window_size(task: TaskRun) -> int:
    """Tokens predicted per window; with bos in front the last one is predicted, not read."""
    limits = (task.config.window_tokens, task.readout.positions)
    return min((limit for limit in limits if limit is not None), default=DEFAULT_WINDOW)


def measure(task: TaskRun, lang: str, documents: list[str]) -> list[Item]:
    """Bits, bytes and tokens of each document; what its ids hide is charged."""
    width = window_size(task)
    rows = task.encoder.held_out(documents)
    requests: list[Request] = []
    owners: list[int] = []
    for index, ids in enumerate(rows):
        own = windows(ids, task.encoder.start, width)
        requests += own
        owners += [index] * len(own)
    nats: list[list[float]] = [[] for _ in documents]
    for owner, value in zip(owners, task.log_probs(lang, requests), strict=True):
        nats[owner].extend(value.tolist())
    found: list[Item] = []
    for index, (document, ids) in enumerate(zip(documents, rows, strict=True)):
        bits = -math.fsum(nats[index]) / math.log(2)
        if not task.encoder.start and ids:
            bits += math.log2(len(task.encoder.tokenizer))
        hidden = task.encoder.hidden_bytes(document)
        found.append({
            "lang": lang, "id": index, "bits": bits + BITS_OF_A_HIDDEN_BYTE * hidden,
            "bytes": len(document.encode()), "tokens": len(ids), "hidden_bytes": hidden,
        })  # fmt: skip
    return found


def windows(ids: list[int], start: tuple[int, ...], width: int) -> list[Request]:
    """Requests that predict every token once, each window opened as a text is.

    Where nothing opens a text, the token before a window does, and the very first token is left to
    be charged.
    """
    found = []
    for first in range(0 if start else 1, len(ids), width):
        context = start or (ids[first - 1],)
        found.append(Request(context, tuple(ids[first : first + width]), prompted=False))
    return found
