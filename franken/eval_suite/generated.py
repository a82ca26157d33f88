"""What tasks that generate share: prompts with worked examples, left truncation, stored outputs."""

from collections.abc import Callable, Sequence
from typing import Any

from franken.eval_suite.generation import Limits, generate
from franken.eval_suite.prompts import draw_shots, fill
from franken.eval_suite.suite import Item, TaskRun


def truncation(results: Sequence[Item]) -> dict[str, int]:
    """``{"truncated": count}`` for a score, empty when no prompt was cut."""
    count = sum(bool(item["truncated"]) for item in results)
    return {"truncated": count} if count else {}


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
        solution: what follows the prompt in a worked example.

    Returns:
        Per item: ``lang, id, prompt, generation, tokens, ended, truncated``.
    """
    shared = task.language_fields(lang)

    def prompt(item: Any) -> str:
        return fill(task.config.prompt, {**shared, **fields(item)}, task=task.name)

    preamble: list[tuple[str, bool]] = []
    if task.config.shots:
        pool = task.examples(lang)
        for index in draw_shots(task.config.shots, len(pool), task.seed, task.name, lang):
            preamble += [
                (prompt(pool[index]), False),
                (solution(pool[index]), True),
                (task.config.shot_separator, False),
            ]
    room = task.readout.positions
    if room is not None:
        room = max(1, room - task.config.max_new_tokens)
    pieces = [[*preamble, (prompt(item), False)] for item in items]
    texts = ["".join(text for text, _ in piece) for piece in pieces]
    encoded = [task.encoder.opened(ids, room) for ids in task.encoder.prompts(pieces)]
    limits = Limits(
        task.config.max_new_tokens, task.config.max_new_bytes, task.config.stop,
        task.config.min_new_tokens,
    )  # fmt: skip
    made = generate(
        task.readout,
        task.encoder.tokenizer,
        [ids for ids, _ in encoded],
        limits,
        batch_tokens=task.batch_tokens,
        writable=task.encoder.writable,
        beams=task.config.beams,
        advance=task.progress(lang, len(items)),
    )
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
