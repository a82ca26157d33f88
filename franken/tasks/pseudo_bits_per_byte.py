"""Pseudo-perplexity per byte: a masked model's counterpart of bits per byte, under its own name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    import torch

    from franken.errors import CompatibilityError
    from franken.eval_suite.batching import ascending_runs, right_padded
    from franken.eval_suite.readout import Guess
    from franken.eval_suite.suite import Item, TaskRun
    from franken.statistics import Units

BITS_OF_A_HIDDEN_BYTE = 8.0
DEFAULT_WINDOW = 128
"""Tokens of text read at once, where the task names none: each costs a row of that length."""


@task_kind
class PseudoBitsPerByte(EvalTask):
    """Bits per UTF-8 byte of a masked model, each token guessed from all others."""

    reads_text: ClassVar[bool] = True
    guesses: ClassVar[Guesses] = Guesses.hidden

    def run(self, task: TaskRun) -> None:
        """``sum of -log2 p(token | all others) / number of UTF-8 bytes`` of held-out text.

        Every token of a document is hidden once, alone, and guessed from all the others of its
        window (Salazar et al., 2020, eq. 1); what opens and closes a text stands around each
        window. The sum is no probability of the text, so it is compared with its like only: never
        with the bits per byte of a causal model. Bytes that the ids do not tell are charged eight
        bits each. The standard error treats documents as the independent units.
        """
        guess = task.readout.guess
        assert guess is not None, "checked by the suite"
        form = WindowInput.of(task)
        for lang in task.languages(task.speaks):
            results = measure(task, guess, form, lang, task.held_out(lang))
            bits = [float(item["bits"]) for item in results]
            sizes = [float(item["bytes"]) for item in results]
            task.score(
                lang,
                "pseudo_bits_per_byte",
                Units.of([item["id"] for item in results], bits, sizes),
                bytes=int(sum(sizes)),
                tokens=sum(int(item["tokens"]) for item in results),
                hidden=sum(int(item["hidden_bytes"]) for item in results) / sum(sizes),
            )
            task.keep(results)


@dataclass(frozen=True)
class WindowInput:
    """How a window of text becomes an input: what stands around it, and how long it may be."""

    start: tuple[int, ...]
    end: tuple[int, ...]
    mask: int
    width: int

    @classmethod
    def of(cls, task: TaskRun) -> WindowInput:
        """As the tokenizer and the task say."""
        tokenizer = task.encoder.tokenizer
        if tokenizer.mask_token_id is None:
            raise CompatibilityError(
                f"task {task.name!r} hides tokens behind a mask token, and the model's tokenizer "
                "has none; give one with mask_token set"
            )
        start = task.encoder.start
        ids = (tokenizer.sep_token_id, tokenizer.eos_token_id)
        end = tuple(index for index in ids if index is not None)[:1]
        width = task.config.window_tokens or DEFAULT_WINDOW
        if task.readout.positions is not None:
            width = min(width, task.readout.positions - len(start) - len(end))
        return cls(start, end, tokenizer.mask_token_id, width)

    def around(self, window: Sequence[int]) -> list[int]:
        """Ids of a whole input."""
        return [*self.start, *window, *self.end]


@dataclass(frozen=True)
class Hidden:
    """One input with one token hidden."""

    owner: int
    ids: list[int]
    place: int

    @property
    def token(self) -> int:
        """The id that is to be guessed."""
        return self.ids[self.place]


def measure(
    task: TaskRun, guess: Guess, form: WindowInput, lang: str, documents: list[str]
) -> list[Item]:
    """Bits, bytes and tokens of each document; what its ids hide is charged."""
    rows = task.encoder.held_out(documents)
    asked = sorted(hidden_tokens(rows, form), key=lambda one: len(one.ids))
    nats: list[list[float]] = [[] for _ in documents]
    advance = task.progress(lang, len(asked))
    for run in ascending_runs([len(one.ids) for one in asked], task.batch_tokens):
        batch = asked[run]
        found = _log_probs(guess, batch, form.mask, task.readout.device)
        for one, value in zip(batch, found, strict=True):
            nats[one.owner].append(value)
        advance(len(batch))
    items: list[Item] = []
    for index, (document, ids) in enumerate(zip(documents, rows, strict=True)):
        hidden = task.encoder.hidden_bytes(document)
        bits = -math.fsum(nats[index]) / math.log(2) + BITS_OF_A_HIDDEN_BYTE * hidden
        items.append({
            "lang": lang, "id": index, "bits": bits, "bytes": len(document.encode()),
            "tokens": len(ids), "hidden_bytes": hidden,
        })  # fmt: skip
    return items


def hidden_tokens(rows: Sequence[Sequence[int]], form: WindowInput) -> Iterator[Hidden]:
    """Every token of every document, hidden in the window that holds it."""
    for owner, ids in enumerate(rows):
        for first in range(0, len(ids), form.width):
            window = ids[first : first + form.width]
            whole = form.around(window)
            for place in range(len(form.start), len(form.start) + len(window)):
                yield Hidden(owner, whole, place)


def _log_probs(
    guess: Guess, batch: Sequence[Hidden], mask: int, device: torch.device
) -> list[float]:
    ids, seen = right_padded([one.ids for one in batch], mask)
    places = torch.tensor([one.place for one in batch])
    wanted = torch.tensor([one.token for one in batch], device=device)
    ids[torch.arange(len(batch)), places] = mask
    logits = guess(ids.to(device), seen.to(device), places.to(device))
    chosen = logits.gather(1, wanted[:, None]).squeeze(1) - logits.logsumexp(1)
    values: list[float] = chosen.cpu().tolist()
    return values
