"""Labels that a head gives to the items of a task."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from franken.data.labelled import Labelled, labelled
from franken.data.labelled_encoding import Encoded, encode
from franken.errors import CompatibilityError
from franken.eval_suite.batching import ascending_runs, right_padded
from franken.eval_suite.suite import Item, TaskRun
from franken.parts.label_head import Labeller
from franken.parts.label_set import LabelledUnit


@dataclass(frozen=True)
class Answer:
    """A text and what the head says of it."""

    text: Labelled
    said: tuple[str | None, ...]
    """A label for each of the text's; ``None`` for words that were cut off."""

    def item(self, lang: str) -> Item:
        """As it is kept."""
        return {
            "lang": lang, "id": self.text.id, "text": self.text.text,
            "labels": list(self.text.labels), "said": list(self.said),
        }  # fmt: skip


def label(task: TaskRun, lang: str) -> list[Answer]:
    """Label the task's items in one language.

    Raises:
        CompatibilityError: where an item has a label that the head does not know.
    """
    head = task.head
    assert head is not None, "checked by the suite"
    texts = [labelled(item) for item in task.read(lang, limit=task.config.limit)]
    _refuse_unknown(task, head, lang, texts)
    longest = task.readout.positions or max(512, task.config.window_tokens or 0)
    unit = head.labels.unit
    rows = [encode(task.encoder.tokenizer, text, unit, longest) for text in texts]
    advance = task.progress(lang, len(rows))
    said: list[tuple[str | None, ...]] = [()] * len(rows)
    order = sorted(range(len(rows)), key=lambda at: len(rows[at].ids))
    lengths = [len(rows[at].ids) for at in order]
    for run in ascending_runs(lengths, task.batch_tokens):
        batch = order[run]
        given = _said(head, [rows[at] for at in batch], task.readout.device)
        for at, numbers in zip(batch, given, strict=True):
            by_word = dict(zip(rows[at].words, numbers, strict=True))
            words = range(len(texts[at].labels))
            said[at] = tuple(
                head.labels.names[by_word[word]] if word in by_word else None for word in words
            )
        advance(len(batch))
    return [Answer(text, own) for text, own in zip(texts, said, strict=True)]


def _said(head: Labeller, rows: Sequence[Encoded], device: torch.device) -> list[list[int]]:
    ids, seen = right_padded([row.ids for row in rows])
    best = head.logits(ids.to(device), seen.to(device)).argmax(-1).cpu()
    if head.labels.unit is LabelledUnit.sentence:
        return [[int(number)] for number in best]
    return [best[at, row.places].tolist() for at, row in enumerate(rows)]


def _refuse_unknown(task: TaskRun, head: Labeller, lang: str, texts: Sequence[Labelled]) -> None:
    used = {name for text in texts for name in text.labels}
    unknown = sorted(used - set(head.labels.names))
    if head.labels.unit is LabelledUnit.sentence and unknown:
        raise CompatibilityError(
            f"task {task.name!r} in {lang!r} has the labels {', '.join(unknown)}, which the head "
            f"was not trained to tell; it knows {', '.join(head.labels.names)}"
        )
