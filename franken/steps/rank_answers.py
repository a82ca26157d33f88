"""Score sampled answers and pair the best of a prompt with the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from franken.config.checks import at_least, in_range
from franken.errors import DataError
from franken.files import write_json
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import hash_or_missing

with later():
    from franken.config.root import Config
    from franken.data.source import Preference
    from franken.eval_suite.readout import read_out
    from franken.parts.model import assemble
    from franken.preference.common import answers as answer_files
    from franken.preference.common import ranking
    from franken.preference.common.answers import Answered, read_answers, write_lines, write_pairs
    from franken.preference.common.ranking import Candidate, Choice, best_of, choose, takes_share
    from franken.preference.common.scoring import (
        likelihoods,
        scored_by_file,
        scores_of_file,
        verdict,
    )
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model
    from franken.steps.sample_answers import refuse_routed

JUDGE_TOKENS = 16_384
"""Tokens of a forward pass of the judge."""
Drawn = list[tuple[str, str]]
"""Source model and text of a prompt's answers."""
_RANKING = ("lang", "with_response", "keep_cut", "same_source", "min_gap", "max_gap", "sft_share",
            "held_out")  # fmt: skip


class Scorer(StrEnum):
    """What makes one answer better than another."""

    verdict = "verdict"
    """1 where it agrees with the data's own response (same last number, else same words), or 0."""
    likelihood = "likelihood"
    """Mean log-likelihood per token under ``judge``."""
    file = "file"
    """``score_file``: a reward model's scores, made elsewhere."""


@step
class RankAnswersStep(Step):
    """Score sampled answers; the best and the worst of a prompt become a preference."""

    seeded: ClassVar[bool] = False
    output: ClassVar[Part] = Part.preferences
    inputs: ClassVar[dict[str, Part]] = {"answers": Part.answers, "judge": Part.model}
    answers: dict[str, str] = field(default_factory=lambda: {})
    """Name of a source model -> the step that sampled from it."""
    scorer: Scorer = Scorer.verdict
    judge: str | None = None
    """likelihood: the model whose likelihood counts."""
    score_file: str = ""
    """file: records with ``prompt``, ``answer`` and ``score``. Answers it lacks are left out."""
    lang: str = "en"
    """verdict: language of the answers, whose rules words are compared by."""
    with_response: bool = False
    """Whether the data's own response competes with every model's answers (scorer verdict: it is
    right, so that a prompt where every answer is wrong gives a pair, too)."""
    keep_cut: bool = False
    """Whether answers count that their model did not end within the limit of tokens."""
    same_source: bool = True
    """Both answers of a pair come from one source model (FuseChat-3.0)."""
    min_gap: float = 0.0
    """Pairs whose scores differ less are left out; FuseChat-3.0: 0.01 on the scores of ArmoRM."""
    max_gap: float | None = None
    """Pairs whose scores differ more are left out; FuseChat-3.0: 0.1 on the scores of ArmoRM."""
    sft_share: float = 0.0
    """Share of the prompts whose best answers serve fine-tuning and that give no pair; FuseChat-3.0
    has 0.4 for instructions. 0: every prompt gives a pair, and its best answer serves, too."""
    held_out: float = 0.05
    """Share of the pairs that is kept for validation."""

    def references(self) -> dict[str, str]:
        """One reference per source model."""
        judge = {} if self.judge is None else {"judge": self.judge}
        return {**{f"answers.{k}": v for k, v in self.answers.items()}, **judge}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.answers:
            yield "answers", "names no step; give at least one, e.g. {source: answers}"
        if self.scorer is Scorer.likelihood and self.judge is None:
            yield "judge", "is missing: scorer=likelihood needs the step of the model that judges"
        if self.scorer is not Scorer.likelihood and self.judge is not None:
            yield "judge", f"is not asked by scorer={self.scorer}; leave it out"
        if self.scorer is Scorer.file and not self.score_file:
            yield "score_file", "is missing: scorer=file reads the scores there"
        yield from at_least("min_gap", self.min_gap, 0.0)
        if self.max_gap is not None and self.max_gap < self.min_gap:
            yield "max_gap", f"{self.max_gap} is below min_gap={self.min_gap}"
        yield from in_range("sft_share", self.sft_share, 0.0, 1.0)
        yield from in_range("held_out", self.held_out, 0.0, 0.5)

    def key(self, config: Config) -> dict[str, Any]:
        """The scores and the filters; a file of scores counts by its content."""
        content = {name: getattr(self, name) for name in _RANKING}
        content |= {"scorer": str(self.scorer), "answers": sorted(self.answers)}
        if self.scorer is Scorer.file:
            content["scores"] = hash_or_missing(self.score_file)
        return content

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes pairs for training and validation, the best answers, and ``ranking.json``.

        Raises:
            DataError: where the sources answered different prompts, or no pair comes about.
        """
        if self.judge is not None:
            refuse_routed(context.inputs["judge"], context.name)
        counts: Counter[str] = Counter()
        asked = list(_together(self, context))
        drawn = [_drawn(self, records, counts) for records in asked]
        scored = _scored(self, context, asked, drawn, counts)
        pairs: list[Preference] = []
        best: list[dict[str, Any]] = []
        chosen: list[Choice] = []
        for number, (records, candidates) in enumerate(zip(asked, scored, strict=True)):
            first = next(iter(records.values()))
            for_tuning = takes_share(number, self.sft_share)
            if (
                candidates
                and (for_tuning or self.sft_share == 0)
                and _fit_to_teach(self, candidates)
            ):
                own = best_of(candidates)
                best.append({"prompt": first.prompt, "response": own.text, "task": first.task,
                             "source": own.source, "score": own.score})  # fmt: skip
            if for_tuning:
                continue
            found = choose(
                candidates, same_source=self.same_source, min_gap=self.min_gap, max_gap=self.max_gap
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
        if not pairs and self.sft_share < 1:
            raise DataError(
                f"step {context.name!r}: no prompt gave a pair. What became of them: {report}. "
                "Sample more answers, at a higher temperature, or from a weaker model"
            )
        held = [takes_share(number, self.held_out) for number in range(len(pairs))]
        for split, side in (("train", False), ("valid", True)):
            own_side = (pair for pair, out in zip(pairs, held, strict=True) if out is side)
            write_pairs(own_side, context.directory / answer_files.PAIRS_FILES[split])
        write_lines(best, context.directory / answer_files.BEST_FILE)
        return {**report, "held_out": sum(held)}


def _together(step: RankAnswersStep, context: StepContext) -> Iterator[dict[str, Answered]]:
    """What the source models answered to each prompt."""
    names = sorted(step.answers)
    files = [
        read_answers(context.inputs[f"answers.{name}"].path / answer_files.ANSWERS_FILE)
        for name in names
    ]
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
        found[ranking.DATA, next(iter(records.values())).response] = None
    for name, record in records.items():
        for answer in record.answers:
            counts["answers"] += 1
            if not answer.ended and not step.keep_cut:
                counts["cut_off"] += 1
            elif not answer.text:
                counts["empty"] += 1
            elif (name, answer.text) in found or (ranking.DATA, answer.text) in found:
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
                f"records must repeat prompt and answer as {answer_files.ANSWERS_FILE} of the "
                "sampling step has them"
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
            found = (
                known.get((name, a.text), known.get((ranking.DATA, a.text))) for a in record.answers
            )
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
