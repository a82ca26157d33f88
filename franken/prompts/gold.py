"""What a right answer is."""

import string
from dataclasses import dataclass

from franken.config.prompts import AnswerForm


@dataclass(frozen=True)
class Gold:
    """The right answer of one prompt, and what else could have been chosen.

    Attributes:
        form: what is to be written.
        marks: ``1``, ``2``, ... or ``A``, ``B``, ... per option; empty for free answers.
        words: each option's words; for free answers the accepted wordings, the published one first.
        answer: index of the right option; 0 for free answers.
        labelled: whether ``words`` are label words, which count as answers beside the marks.
    """

    form: AnswerForm
    marks: tuple[str, ...]
    words: tuple[str, ...]
    answer: int
    labelled: bool = False

    @property
    def word(self) -> str:
        """The right answer's words."""
        return self.words[self.answer]

    @property
    def chance(self) -> float | None:
        """Accuracy of a uniform guess, where there are options."""
        free = self.form is AnswerForm.text or len(self.words) < 2
        return None if free else 1 / len(self.words)


def marks_of(form: AnswerForm, count: int) -> tuple[str, ...]:
    """Option markers of a form."""
    if form is AnswerForm.number:
        return tuple(str(at + 1) for at in range(count))
    if form is AnswerForm.letter:
        return tuple(string.ascii_uppercase[:count])
    return ()
