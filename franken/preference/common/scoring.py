"""Scores of answers: right or wrong, likely under a judge, or as a file says."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from franken.config.sources import FileFormat
from franken.data.encoding import joined_response
from franken.data.fields import pick, pick_text
from franken.data.readers import read_file
from franken.errors import DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.numbers import last_number
from franken.eval_suite.readout import Readout
from franken.eval_suite.scoring import Request, log_probs
from franken.tasks.answering import words
from franken.tokenizer.chat import chat_prompt, uses_chat


def verdict(answer: str, response: str, lang: str) -> float:
    """1 for a right answer, 0 for a wrong one, by the rules of the evaluation suite.

    Where the data's own response ends in a number, the last number must be that number (as for
    MGSM); otherwise the words must be the same, but for case and punctuation (as for SQuAD).
    """
    wanted = last_number(response, lang)
    if wanted is not None and response.rstrip(" .")[-1:].isdigit():
        return float(last_number(answer, lang) == wanted)
    return float(words(answer, lang) == words(response, lang))


def likelihoods(
    readout: Readout,
    tokenizer: Any,
    asked: Sequence[tuple[str, str]],
    *,
    batch_tokens: int,
    advance: Callable[[int], None] | None = None,
    chat: str = "auto",
) -> list[float]:
    """Nats per token of answers after their prompts under a judge.

    Args:
        readout: the judge.
        tokenizer: its tokenizer.
        asked: prompt and answer.
        batch_tokens: tokens of a forward pass.
        advance: called with the number of answers done.
        chat: whether the judge reads them in its chat template: ``auto``, ``on`` or ``off``.
    """
    encoder = Encoder(tokenizer)
    requests: list[Request] = []
    if uses_chat(tokenizer, chat):
        prompts = [chat_prompt(tokenizer, [], prompt) for prompt, _ in asked]
        answers = [answer.strip() for _, answer in asked]
    else:
        prompts = [prompt for prompt, _ in asked]
        answers = [joined_response(prompt, answer) for prompt, answer in asked]
    for head, tail in zip(*encoder.answers(prompts, answers), strict=True):
        room = None if readout.positions is None else max(1, readout.positions + 1 - len(tail))
        requests.append(Request(tuple(encoder.opened(head, room)[0]), tuple(tail)))
    with torch.inference_mode():
        values = log_probs(readout, requests, batch_tokens=batch_tokens, advance=advance)
    return [float(value.double().mean()) for value in values]


def scores_of_file(path: Path) -> dict[tuple[str, str], float]:
    """``(prompt, answer) -> score`` of a file with these three fields, white space at ends dropped.

    Raises:
        DataError: where the file is missing, or a record lacks a field or has no number.
    """
    if not path.is_file():
        raise DataError(f"score_file={str(path)!r} is no file (looked in {Path.cwd()})")
    found: dict[tuple[str, str], float] = {}
    for row in read_file(path, FileFormat.auto):
        value = pick(row, "score", {})
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise DataError(f"{row.where}: the field 'score' holds {value!r}, not a number")
        found[pick_text(row, "prompt", {}), pick_text(row, "answer", {})] = float(value)
    return found


def scored_by_file(
    scores: dict[tuple[str, str], float], asked: Iterable[tuple[str, str]]
) -> list[float | None]:
    """The scores of prompts and answers; ``None`` for those that the file lacks."""
    return [scores.get((prompt.strip(), answer.strip())) for prompt, answer in asked]
