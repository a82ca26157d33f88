"""Faults of aligned data that would pass unseen: rows that are no translations, lost markers.

Found in the release's own data: its German XNLI agrees with English in 295 of 1000 labels, from row
210 on; translations of GlobalOpinionQA lose or rewrite option markers; French XNLI label words hold
the option number.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from franken.prompts.gold import Gold

MARKER = re.compile(r"[(（]\s*(\w{1,2})\s*[)）]")
"""Something short in brackets, also full-width ones."""
BLOCK_SHARE = 0.1
"""Where at least this share of the rows from the first disagreement on disagree, all of them count
as misaligned: many agree by chance."""


@dataclass(frozen=True)
class Defect:
    """One kind of fault of one set in one language."""

    kind: str
    set: str
    lang: str
    rows: tuple[int, ...]
    """Positions, from 0; empty where the fault is not a row's."""
    message: str
    drops: bool
    """Whether the rows are no use."""

    def __str__(self) -> str:
        return f"{self.set} {self.lang}: {self.message}"


def misaligned_rows(answers: Sequence[int], pivot: Sequence[int]) -> list[int]:
    """Rows whose labels say that they are no translations of each other.

    Args:
        answers: right options in one language.
        pivot: those of the source language, row by row.
    """
    wrong = [row for row, (a, b) in enumerate(zip(answers, pivot, strict=True)) if a != b]
    if not wrong:
        return []
    tail = len(answers) - wrong[0]
    if len(wrong) > 1 and len(wrong) >= BLOCK_SHARE * tail:
        return list(range(wrong[0], len(answers)))
    return wrong


def markers(text: str, marks: Sequence[str]) -> Counter[str]:
    """How often each mark stands in brackets, in any case and width: ``(1)``, ``(b)``, ``（Ｂ）``.

    Nothing else in brackets counts: a translation may well put ``(US)`` for ``(America)``.
    """
    found = (unicodedata.normalize("NFKC", mark).upper() for mark in MARKER.findall(text))
    return Counter(mark for mark in found if mark in marks)


def find_defects(
    name: str,
    lang: str,
    native: Sequence[tuple[str, Gold]],
    pivot: Sequence[tuple[str, Gold]],
    untranslated: Sequence[int] = (),
) -> list[Defect]:
    """Every fault of one set in one language.

    Args:
        name: the set.
        lang: the language.
        native: prompt and gold, row by row.
        pivot: the same questions in the source language.
        untranslated: rows whose fields are those of the source language, wording of prompts aside.
    """
    found: list[Defect] = []

    def note(kind: str, rows: list[int], message: str, *, drops: bool = True) -> None:
        if rows:
            shown = f"{len(rows)} of {len(native)} rows {message} (first: row {rows[0]})"
            found.append(Defect(kind, name, lang, tuple(rows), shown, drops))

    both = list(enumerate(zip(native, pivot, strict=True)))
    answers = [gold.answer for _, gold in native], [gold.answer for _, gold in pivot]
    note("labels", misaligned_rows(*answers), "are not aligned: gold labels differ from there on")
    note(
        "options",
        [at for at, ((_, a), (_, b)) in both if a.marks and len(a.words) != len(b.words)],
        "offer another number of options than the source language",
    )
    note(
        "markers",
        [
            at
            for at, ((a, gold), (b, _)) in both
            if gold.marks and markers(a, gold.marks) != markers(b, gold.marks)
        ],
        "have lost or gained option markers",
    )
    note("untranslated", list(untranslated), "are the source language's own text", drops=False)
    words = {word for _, gold in native if gold.labelled for word in gold.words}
    broken = sorted(word for word in words if MARKER.search(word) or "\u00a0" in word)
    if broken:
        message = f"label words hold option markers or no-break spaces: {broken}"
        found.append(Defect("label_words", name, lang, (), message, False))
    return found
