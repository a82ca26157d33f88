"""Whether a continuation is right: the release's strict rule, a lenient one, and option logits.

A transplant can "gain" by repairing the format of answers alone; the three side by side show it.
"""

import re
import string
import unicodedata
from collections.abc import Sequence

from franken.config.prompts import AnswerForm
from franken.prompts.gold import Gold

_BRACKETS = str.maketrans({"（": "(", "）": ")", "［": "(", "］": ")"})
_MARK = re.compile(r"\(\s*([0-9]{1,2}|[a-z])\s*\)")
_BARE = re.compile(r"\W*([0-9]{1,2}|[a-z])\s*(?:$|[.):,。、](?!\d))")
"""A mark without brackets, with nothing or punctuation behind it: ``a lot`` names no option."""


def strict_v1(answer: str, gold: Gold) -> bool:
    """The release's rule.

    Numbers: ``(g)`` in the answer, or the bare ``g``, or the label word, and nothing of the kind
    for any other option; full-width brackets count as plain ones. Letters: the same in upper case
    over A to Z, without label words and without that normalisation. Free answers: the lower-cased
    gold is part of the lower-cased answer. Words (ours): the right option's words occur as whole
    words, and no other option's do.
    """
    if gold.form is AnswerForm.text:
        return gold.words[0].lower() in answer.lower()
    if gold.form is AnswerForm.word:
        said = [_has_word(answer, word) for word in gold.words]
        return said[gold.answer] and sum(said) == 1
    if gold.form is AnswerForm.letter:
        chosen = [_marked(answer.upper(), mark) for mark in string.ascii_uppercase]
        return chosen[string.ascii_uppercase.index(gold.marks[gold.answer])] and sum(chosen) == 1
    text = answer.translate(_BRACKETS)
    chosen = [
        _marked(text, mark) or (gold.labelled and word in text)
        for mark, word in zip(gold.marks, gold.words, strict=True)
    ]
    return chosen[gold.answer] and sum(chosen) == 1


def decided(answer: str, gold: Gold) -> bool:
    """Whether the strict verdict can no longer change, however the answer goes on.

    A free answer is decided once it contains the gold; a choice once two options are named. (A bare
    mark is no ground: ``1`` may go on to ``12``.)
    """
    if gold.form is AnswerForm.text:
        return strict_v1(answer, gold)
    if gold.form is AnswerForm.word:
        # the last word may still grow
        ended = answer[: max(answer.rfind(" "), answer.rfind("\n")) + 1]
        return sum(_has_word(ended, word) for word in gold.words) > 1
    if gold.form is AnswerForm.letter:
        return sum(f"({mark})" in answer.upper() for mark in string.ascii_uppercase) > 1
    text = answer.translate(_BRACKETS)
    named = [
        f"({mark})" in text or (gold.labelled and word in text)
        for mark, word in zip(gold.marks, gold.words, strict=True)
    ]
    return sum(named) > 1


def lenient(answer: str, gold: Gold, other: Gold | None = None) -> bool:
    """Right in substance: the first option named is the right one, however it is written.

    ``A.``, ``a) yes``, ``(A)`` anywhere, a bare mark that is all of the first line, and the
    option's own words count; case, width and accents of punctuation do not. ``other`` is the same
    question's gold in the other language: its words count too, so that an answer in the wrong
    language is told apart from a wrong answer.
    """
    text = _plain(answer)
    golds = [gold] if other is None else [gold, other]
    if gold.form is AnswerForm.text:
        return any(_plain(word) in text for own in golds for word in own.words if _plain(word))
    places: list[tuple[int, int]] = []
    first_line = _plain(answer.strip().partition("\n")[0])
    match = (_BARE.match(first_line) or _MARK.search(text)) if gold.marks else None
    if match:
        mark = match.group(1).upper()
        if mark in gold.marks:
            places.append((match.start(), gold.marks.index(mark)))
    for own in golds:
        for index, word in enumerate(own.words):
            found = _word_at(text, _plain(word))
            if found is not None:
                places.append((found, index))
    return bool(places) and min(places)[1] == gold.answer


def option_logit(logits: Sequence[float], gold: Gold) -> bool | None:
    """Whether the right option's first token has the largest logit; ``None`` without options.

    Args:
        logits: one per option, at the first new position; another metric than generated text.
        gold: the options.
    """
    if gold.form is AnswerForm.text or len(logits) < 2:
        return None
    best = max(range(len(logits)), key=lambda at: (logits[at], -at))
    return best == gold.answer


def _marked(text: str, mark: str) -> bool:
    return f"({mark})" in text or text.strip() == mark


def _has_word(text: str, word: str) -> bool:
    return _word_at(text, word) is not None


def _word_at(text: str, word: str) -> int | None:
    """Where ``word`` stands with no letter or digit beside it; unspaced scripts match anywhere."""
    if not word:
        return None
    start = text.find(word)
    while start >= 0:
        before = text[start - 1 : start] if start else ""
        after = text[start + len(word) : start + len(word) + 1]
        if not (_joins(before, word[0]) or _joins(after, word[-1])):
            return start
        start = text.find(word, start + 1)
    return None


def _joins(one: str, other: str) -> bool:
    """Whether two neighbours belong to one word."""
    if not one or unicodedata.category(one)[0] not in "LMN":
        return False
    return not (_unspaced(one) and _unspaced(other))


def _unspaced(letter: str) -> bool:
    name = unicodedata.name(letter, "")
    return name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR"))


def _plain(text: str) -> str:
    """NFKC, case-folded, white space as single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
