"""Let a source model answer instructions several times; text is all that leaves it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.progress import track

from franken.config.steps import SampleAnswersStep
from franken.data import open_data
from franken.data.source import Instruction
from franken.decoding import Decoding, Ends, Strategy, Written, decode, stop_ids
from franken.decoding.ends import before_stop, plain_text, text_is_over
from franken.errors import CompatibilityError, DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.readout import Readout, read_out
from franken.parts.model import assemble
from franken.preference.answers import (
    ANSWERS_FILE,
    Answer,
    Answered,
    read_answers,
    write_answers,
)
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import open_model
from franken.steps.route import is_routed
from franken.store import Artifact

PART = 512
"""Prompts whose answers are kept at a time: what a killed step loses at most."""


def run(step: SampleAnswersStep, context: StepContext) -> dict[str, Any]:
    """Writes ``answers.jsonl``: a record per prompt with all its answers. A killed step goes on.

    Raises:
        DataError: where the data have no instruction of the wanted tasks.
        CompatibilityError: for a model with a router.
    """
    refuse_routed(context.inputs["model"], context.name)
    wanted = step.data.mixtures[step.split].tasks
    asked = list(islice(
        (i for i in open_data(step.data).instructions() if wanted is None or i.task in wanted),
        step.prompts,
    ))  # fmt: skip
    if not asked:
        raise DataError(
            f"step {context.name!r}: the data have no instruction"
            f"{'' if wanted is None else ' of the tasks ' + ', '.join(wanted)} to be answered"
        )
    model, tokenizer = assemble(
        open_model(context.inputs["model"], context.store), device=context.device
    )
    model.eval()
    sampler = _Sampler(read_out(model), tokenizer, step, context.seed, stop_ids(tokenizer, model))
    records: list[Answered] = []
    console = Console(stderr=True)
    for start in track(
        range(0, len(asked), PART), "sampling answers", console=console, transient=True,
        disable=not console.is_terminal,
    ):  # fmt: skip
        path = context.scratch / f"answers-{start:08d}.jsonl"
        if not path.is_file():
            write_answers(sampler.answer(asked[start : start + PART], start), path)
        records += read_answers(path)
    write_answers(records, context.directory / ANSWERS_FILE)
    drawn = [answer for record in records for answer in record.answers]
    return {
        "prompts": len(asked), "answers": len(drawn),
        "cut_off": sum(not answer.ended for answer in drawn),
        "mean_tokens": sum(answer.tokens for answer in drawn) / len(drawn),
        "distinct_per_prompt": sum(len({a.text for a in r.answers}) for r in records)
        / len(records),
    }  # fmt: skip


def refuse_routed(model: Artifact, name: str) -> None:
    """Its packs would be left out without a word."""
    if is_routed(model):
        raise CompatibilityError(
            f"step {name!r} reads one model, and this one chooses among SkillPacks by a router; "
            "name a graft step instead"
        )


@dataclass(frozen=True)
class _Sampler:
    """Draws answers; what is drawn does not depend on how prompts are put together."""

    readout: Readout
    tokenizer: Any
    step: SampleAnswersStep
    seed: int
    end_ids: frozenset[int]

    def answer(self, asked: Sequence[Instruction], first: int) -> Iterator[Answered]:
        """Instructions with their answers; ``first`` is the number of the first of them."""
        step = self.step
        encoder, room = Encoder(self.tokenizer), self.readout.positions
        room = None if room is None else max(1, room - step.max_new_tokens)
        texts = encoder.texts([instruction.prompt for instruction in asked])
        prompts = [encoder.opened(ids, room)[0] for ids in texts]
        rows = [prompt for prompt in prompts for _ in range(step.answers)]
        drawn: list[Answer] = []
        ends = Ends(self.end_ids, text_is_over(self.tokenizer, [step.stop]))
        for start in range(0, len(rows), step.batch_size):
            options = Decoding(
                Strategy.sample, step.max_new_tokens, temperature=step.temperature,
                top_k=step.top_k, top_p=step.top_p, seed=derive_seed(self.seed, "sample_answers"),
                first=first * step.answers + start,
            )  # fmt: skip
            made = decode(
                self.readout, rows[start : start + step.batch_size], options,
                ends=ends, writable=self.readout.vocabulary,
            )  # fmt: skip
            drawn += map(self._answer, made)
        for at, instruction in enumerate(asked):
            own = tuple(drawn[at * step.answers : (at + 1) * step.answers])
            yield Answered(instruction.prompt, instruction.response.strip(), instruction.task, own)

    def _answer(self, written: Written) -> Answer:
        text = plain_text(self.tokenizer, written.ids)
        head, stopped = before_stop(text.lstrip(), [self.step.stop])
        return Answer(head.strip(), written.log_prob, len(written.ids), written.ended or stopped)
