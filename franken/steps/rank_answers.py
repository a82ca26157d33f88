"""Score sampled answers and pair the best of a prompt with the worst."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from franken.config.steps import RankAnswersStep, Scorer
from franken.data.source import Preference
from franken.errors import DataError
from franken.eval_suite.readout import read_out
from franken.files import write_json
from franken.parts.model import assemble
from franken.preference.answers import (
    ANSWERS_FILE,
    BEST_FILE,
    PAIRS_FILES,
    Answered,
    read_answers,
    write_lines,
    write_pairs,
)
from franken.preference.ranking import (
    DATA,
    Candidate,
    Choice,
    best_of,
    choose,
    takes_share,
)
from franken.preference.scoring import likelihoods, scored_by_file, scores_of_file, verdict
from franken.steps.context import StepContext
from franken.steps.models import open_model
from franken.steps.sample_answers import refuse_routed

JUDGE_TOKENS = 16_384
"""Tokens of a forward pass of the judge."""
Drawn = list[tuple[str, str]]
"""Source model and text of a prompt's answers."""


def run(step: RankAnswersStep, context: StepContext) -> dict[str, Any]:
    """Writes pairs for training and validation, the best answers, and ``ranking.json``.

    Raises:
        DataError: where the sources answered different prompts, or no pair comes about.
    """
    if step.judge is not None:
        refuse_routed(context.inputs["judge"], context.name)
    counts: Counter[str] = Counter()
    asked = list(_together(step, context))
    drawn = [_drawn(step, records, counts) for records in asked]
    scored = _scored(step, context, asked, drawn, counts)
    pairs: list[Preference] = []
    best: list[dict[str, Any]] = []
    chosen: list[Choice] = []
    for number, (records, candidates) in enumerate(zip(asked, scored, strict=True)):
        first = next(iter(records.values()))
        for_tuning = takes_share(number, step.sft_share)
        if candidates and (for_tuning or step.sft_share == 0) and _fit_to_teach(step, candidates):
            own = best_of(candidates)
            best.append({"prompt": first.prompt, "response": own.text, "task": first.task,
                         "source": own.source, "score": own.score})  # fmt: skip
        if for_tuning:
            continue
        found = choose(
            candidates, same_source=step.same_source, min_gap=step.min_gap, max_gap=step.max_gap
        )
        if not isinstance(found, Choice):
            counts[str(found)] += 1
            continue
        chosen.append(found)
        pairs.append(Preference(first.prompt, found.best.text, found.worst.text, first.task))
    report = {
        "prompts": len(asked), "best": len(best), **counts, **_figures(chosen),
        "mean_score": _mean_scores(asked, scored),
    }  # fmt: skip
    write_json(context.directory / "ranking.json", report)
    if not pairs and step.sft_share < 1:
        raise DataError(
            f"step {context.name!r}: no prompt gave a pair. What became of them: {report}. Sample "
            "more answers, at a higher temperature, or from a weaker model"
        )
    held = [takes_share(number, step.held_out) for number in range(len(pairs))]
    for split, side in (("train", False), ("valid", True)):
        own_side = (pair for pair, out in zip(pairs, held, strict=True) if out is side)
        write_pairs(own_side, context.directory / PAIRS_FILES[split])
    write_lines(best, context.directory / BEST_FILE)
    return {**report, "held_out": sum(held)}


def _together(step: RankAnswersStep, context: StepContext) -> Iterator[dict[str, Answered]]:
    """What the source models answered to each prompt."""
    names = sorted(step.answers)
    files = [read_answers(context.inputs[f"answers.{name}"].path / ANSWERS_FILE) for name in names]
    try:
        for records in zip(*files, strict=True):
            if len({record.prompt for record in records}) > 1:
                raise ValueError
            yield dict(zip(names, records, strict=True))
    except ValueError as error:
        raise DataError(
            f"step {context.name!r}: {', '.join(names)} answered different prompts; give their "
            "sample_answers steps the same data, split and number of prompts"
        ) from error


def _drawn(step: RankAnswersStep, records: dict[str, Answered], counts: Counter[str]) -> Drawn:
    """The answers of a prompt that compete, each wording of a model once."""
    found: dict[tuple[str, str], None] = {}
    if step.with_response:
        found[DATA, next(iter(records.values())).response] = None
    for name, record in records.items():
        for answer in record.answers:
            counts["answers"] += 1
            if not answer.ended and not step.keep_cut:
                counts["cut_off"] += 1
            elif not answer.text:
                counts["empty"] += 1
            elif (name, answer.text) in found or (DATA, answer.text) in found:
                counts["repeated"] += 1
            else:
                found[name, answer.text] = None
    return list(found)


def _scored(
    step: RankAnswersStep, context: StepContext, asked: list[dict[str, Answered]],
    drawn: list[Drawn], counts: Counter[str],
) -> list[list[Candidate]]:  # fmt: skip
    firsts = [next(iter(records.values())) for records in asked]
    flat = [(first, text) for first, own in zip(firsts, drawn, strict=True) for _, text in own]
    scores: list[float | None]
    if step.scorer is Scorer.verdict:
        scores = [verdict(text, first.response, step.lang) for first, text in flat]
    elif step.scorer is Scorer.file:
        known = scores_of_file(Path(step.score_file).expanduser())
        scores = scored_by_file(known, ((first.prompt, text) for first, text in flat))
        if all(score is None for score in scores):
            raise DataError(
                f"score_file={step.score_file!r} scores none of the {len(flat)} answers; its "
                f"records must repeat prompt and answer as {ANSWERS_FILE} of the sampling step has "
                "them"
            )
    else:
        model, tokenizer = assemble(
            open_model(context.inputs["judge"], context.store), device=context.device
        )
        pairs = [(first.prompt, text) for first, text in flat]
        scores = list(
            likelihoods(read_out(model.eval()), tokenizer, pairs, batch_tokens=JUDGE_TOKENS)
        )
    counts["unscored"] += sum(score is None for score in scores)
    waiting = iter(scores)
    found: list[list[Candidate]] = []
    for own in drawn:
        values = [(name, text, next(waiting)) for name, text in own]
        found.append([Candidate(text, v, name) for name, text, v in values if v is not None])
    return found


def _fit_to_teach(step: RankAnswersStep, candidates: list[Candidate]) -> bool:
    """By verdict only a right answer teaches (FuseChat-3.0: a *correct* one)."""
    return step.scorer is not Scorer.verdict or best_of(candidates).score == 1.0


def _mean_scores(
    asked: list[dict[str, Answered]], scored: list[list[Candidate]]
) -> dict[str, float]:
    """Of every source over all that it drew, repeated answers too."""
    values: dict[str, list[float]] = {}
    for records, candidates in zip(asked, scored, strict=True):
        known = {(c.source, c.text): c.score for c in candidates}
        for name, record in records.items():
            found = (known.get((name, a.text), known.get((DATA, a.text))) for a in record.answers)
            values.setdefault(name, []).extend(score for score in found if score is not None)
    return {name: sum(own) / len(own) for name, own in values.items() if own}


def _figures(chosen: list[Choice]) -> dict[str, Any]:
    if not chosen:
        return {"pairs": 0}
    sources = Counter(choice.source for choice in chosen)
    return {
        "pairs": len(chosen),
        "mean_best_score": sum(choice.best.score for choice in chosen) / len(chosen),
        "mean_worst_score": sum(choice.worst.score for choice in chosen) / len(chosen),
        "pairs_by_source": dict(sorted(sources.items())),
    }
