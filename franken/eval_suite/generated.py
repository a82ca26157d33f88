"""What tasks that generate share: prompts with worked examples, left truncation, stored outputs."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from franken.config.eval_suite import ShotChoice
from franken.data.encoding import joined_response
from franken.eval_suite.encoding import Piece
from franken.eval_suite.generation import Generation, Limits, cut
from franken.eval_suite.prompts import draw_shots, fill, nearest_shots
from franken.eval_suite.suite import Item, TaskRun
from franken.tokenizer.chat import chat_prompt


def truncation(results: Sequence[Item]) -> dict[str, int]:
    """``{"truncated": count}`` for a score, empty when no prompt was cut."""
    count = sum(bool(item["truncated"]) for item in results)
    return {"truncated": count} if count else {}


def generated(
    task: TaskRun, fields: Callable[[Any], dict[str, str]], solution: Callable[[Any], str]
) -> Iterator[tuple[str, list[Any], list[Item]]]:
    """Language by language: its items, and what the model says to each (:func:`continue_items`)."""
    known = set(task.data.task_languages(task.config.source))
    for lang in task.languages(known.__contains__):
        items = task.read(lang, limit=task.config.limit)
        yield lang, items, continue_items(task, lang, items, fields, solution)


def continue_items(
    task: TaskRun,
    lang: str,
    items: Sequence[Any],
    fields: Callable[[Any], dict[str, str]],
    solution: Callable[[Any], str],
) -> list[Item]:
    """Generate for every item.

    Args:
        task: the task.
        lang: language of the items.
        items: as read from the evaluation set.
        fields: an item's template fields.
        solution: the answer of a worked example; it is set apart from the prompt as in training.

    Returns:
        Per item: ``lang, id, prompt, generation, tokens, ended, truncated``.
    """
    shared = task.language_fields(lang)

    def prompt(item: Any) -> str:
        return fill(task.config.prompt, {**shared, **fields(item)}, task=task.name)

    asked = [prompt(item) for item in items]
    shown = _worked_examples(task, lang, asked, prompt, solution)
    room = task.readout.positions
    if room is not None:
        room = max(1, room - task.config.max_new_tokens)
    pieces: list[list[Piece]] = [
        [*own, (text, False)] for own, text in zip(shown, asked, strict=True)
    ]
    if task.chat:
        pieces = [_in_chat(task, own) for own in pieces]
    texts = ["".join(text for text, _ in piece) for piece in pieces]
    encoded = [task.encoder.opened(ids, room) for ids in task.encoder.prompts(pieces)]
    made = _continued(task, lang, [ids for ids, _ in encoded])
    return [
        {
            "lang": lang,
            "id": item.id,
            "prompt": text,
            "generation": generation.text,
            "tokens": generation.tokens,
            "ended": generation.ended,
            "truncated": truncated,
        }
        for item, text, (_, truncated), generation in zip(items, texts, encoded, made, strict=True)
    ]


def _continued(task: TaskRun, lang: str, prompts: Sequence[list[int]]) -> list[Generation]:
    """The text that follows each prompt."""
    config = task.config
    limits = Limits(
        config.max_new_tokens, config.max_new_bytes, (config.stop, *config.stops),
        config.min_new_tokens, task.encoder.end_ids,
    )  # fmt: skip
    made = task.written(lang, prompts, limits)
    return [cut(task.encoder.tokenizer, written, limits) for written in made]


def _in_chat(task: TaskRun, pieces: Sequence[Piece]) -> list[Piece]:
    """Worked examples as earlier turns, the prompt as the last one."""
    shots = [text for text, _ in pieces[:-1]]
    turns = list(zip(shots[::3], shots[1::3], strict=True))  # prompt, answer, separator
    return [(chat_prompt(task.encoder.tokenizer, turns, pieces[-1][0]), False)]


def _worked_examples(
    task: TaskRun,
    lang: str,
    asked: Sequence[str],
    prompt: Callable[[Any], str],
    solution: Callable[[Any], str],
) -> list[list[tuple[str, bool]]]:
    """What stands before the prompt of each item, as pieces of ``Encoder.prompts``."""
    config = task.config
    if not config.shots:
        return [[] for _ in asked]
    pool = task.examples(lang)
    if config.shot_choice is ShotChoice.nearest:
        known = [prompt(item) for item in pool]
        chosen = nearest_shots(config.shots, asked, known, task.name, lang)
    else:
        drawn = draw_shots(config.shots, len(pool), task.seed, task.name, lang)
        chosen = [drawn for _ in asked]

    def example(index: int) -> list[tuple[str, bool]]:
        text = prompt(pool[index])
        answer = joined_response(text, solution(pool[index]))
        return [(text, False), (answer, True), (config.shot_separator, False)]

    return [[piece for index in own for piece in example(index)] for own in chosen]
