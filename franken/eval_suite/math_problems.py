"""Math word problems: greedy generation, exact match of the last number."""

import re
import unicodedata
from decimal import Decimal, InvalidOperation

from franken.eval_suite.generated import continue_items, truncation
from franken.eval_suite.standard_errors import binomial_stderr, mean
from franken.eval_suite.suite import TaskRun

NUMBER = re.compile(r"[-\u2212]?\d[\d,\u066c]*(?:[.\u066b]\d+)?")
"""Digits of any script, with thousands separators and a decimal part."""


def run(task: TaskRun) -> None:
    """Score ``acc_exact``, the share of items whose last generated number is the answer."""
    known = set(task.data.task_languages(task.config.source))
    for lang in task.languages(known.__contains__):
        items = task.read(lang, limit=task.config.limit)
        results = continue_items(
            task,
            lang,
            items,
            lambda item: {"question": item.question},
            lambda item: item.answer,
        )
        for item, result in zip(items, results, strict=True):
            guess = last_number(str(result["generation"]))
            result["prediction"] = None if guess is None else str(guess)
            result["answer"] = item.answer
            result["correct"] = guess is not None and guess == last_number(item.answer)
        n = len(results)
        share = mean([float(bool(result["correct"])) for result in results])
        task.add(lang, "acc_exact", share, n, binomial_stderr(share, n), **truncation(results))
        task.keep(results)


def last_number(text: str) -> Decimal | None:
    """The last number of a text, digits of any script; ``None`` when it holds none."""
    found = NUMBER.findall(text)
    if not found:
        return None
    plain = "".join(_plain(character) for character in found[-1])
    try:
        return Decimal(plain).normalize()
    except InvalidOperation:
        return None


def _plain(character: str) -> str:
    if character in ",\u066c":
        return ""
    if character == "\u066b":
        return "."
    if character == "\u2212":
        return "-"
    digit = unicodedata.digit(character, None)
    return character if digit is None else str(digit)
