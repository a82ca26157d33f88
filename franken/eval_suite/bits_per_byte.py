"""Bits per byte of held-out text: the one loss that may be compared across vocabularies."""

import math
from itertools import islice

from franken.errors import DataError
from franken.eval_suite.scoring import Request, log_probs
from franken.eval_suite.standard_errors import ratio, ratio_stderr
from franken.eval_suite.suite import Item, TaskRun

SPLIT = "valid"
DEFAULT_WINDOW = 2048
"""Tokens, where neither the task nor the model sets a limit."""


def run(task: TaskRun) -> None:
    """``sum of -log2 p(token) / number of UTF-8 bytes`` over the ``valid`` part of a text role.

    Every real token of a document is predicted exactly once; bos stands in front and is context
    only; eos is not predicted, so it counts neither in bits nor in bytes. A document longer than
    the window is cut into windows without overlap, each opened by bos. The standard error treats
    documents as the independent units.
    """
    role = task.config.source
    for lang in task.languages(lambda lang: task.data.has(role, lang)):
        texts = task.data.texts(role, lang, SPLIT)
        documents = [text for text in islice(texts, task.config.limit) if text]
        if not documents:
            raise DataError(
                f"role {role!r} has no {SPLIT} text in {lang!r}, so task {task.name!r} has nothing "
                "to score; check the data option or leave the language out"
            )
        results = measure(task, lang, documents)
        bits = [float(item["bits"]) for item in results]
        sizes = [float(item["bytes"]) for item in results]
        task.add(
            lang,
            "bits_per_byte",
            ratio(bits, sizes),
            len(documents),
            ratio_stderr(bits, sizes),
            bytes=int(sum(sizes)),
            tokens=sum(int(item["tokens"]) for item in results),
        )
        task.keep(results)


def window_size(task: TaskRun) -> int:
    """Tokens predicted per window; with bos in front the last one is predicted, not read."""
    limits = (task.config.window_tokens, task.readout.positions)
    return min((limit for limit in limits if limit is not None), default=DEFAULT_WINDOW)


def measure(task: TaskRun, lang: str, documents: list[str]) -> list[Item]:
    """Bits, bytes and tokens of each document."""
    width = window_size(task)
    start = (task.encoder.start,)
    requests: list[Request] = []
    owners: list[int] = []
    for index, ids in enumerate(task.encoder.texts(documents)):
        for first in range(0, len(ids), width):
            window = tuple(ids[first : first + width])
            requests.append(Request(start, window, prompted=False))
            owners.append(index)
    values = log_probs(
        task.readout,
        requests,
        batch_tokens=task.batch_tokens,
        advance=task.progress(lang, len(requests)),
    )
    nats: list[list[float]] = [[] for _ in documents]
    for owner, value in zip(owners, values, strict=True):
        nats[owner].extend(value.tolist())
    return [
        {
            "lang": lang,
            "id": index,
            "bits": -math.fsum(own) / math.log(2),
            "bytes": len(document.encode()),
            "tokens": len(own),
        }
        for index, (document, own) in enumerate(zip(documents, nats, strict=True))
    ]
