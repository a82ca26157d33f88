"""Let a source model answer instructions several times; text is all that leaves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar

from franken.config.checks import at_least, in_range
from franken.config.data import DataConfig
from franken.data import open_data
from franken.errors import CompatibilityError, DataError
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import precision_of

with later():
    from rich.console import Console
    from rich.progress import track

    from franken.config.root import Config
    from franken.data.source import Instruction
    from franken.decoding import Decoding, Ends, Strategy, Written, decode, stop_ids
    from franken.decoding.ends import before_stop, plain_text, text_is_over
    from franken.eval_suite.encoding import Encoder
    from franken.eval_suite.readout import Readout, read_out
    from franken.parts.model import assemble
    from franken.preference.common import answers as answer_files
    from franken.preference.common.answers import Answer, Answered, read_answers, write_answers
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model
    from franken.steps.route import is_routed
    from franken.store import Artifact
from franken.tokenizer.chat import chat_prompt, uses_chat

PART = 512
"""Prompts whose answers are kept at a time: what a killed step loses at most."""
_SAMPLING = ("prompts", "answers", "temperature", "top_p", "top_k", "max_new_tokens", "stop")


@step
class SampleAnswersStep(Step):
    """Let a source model answer the prompts of the role ``instructions`` several times."""

    version: ClassVar[int] = 2
    output: ClassVar[Part] = Part.answers
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    model: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "instructions"
    """Of this mixture only ``tasks`` counts: instructions of which tasks are asked."""
    prompts: int = 500
    """The first ones."""
    answers: int = 5
    """Per prompt. FuseChat-3.0, whose data GraftLLM uses: 5 for instructions, 8 for code."""
    temperature: float = 0.8
    """As FuseChat-3.0 for Gemma, Mistral and Llama; 0.7 for Qwen."""
    top_p: float = 0.95
    """As FuseChat-3.0 for Gemma, Mistral and Llama; 0.8 for Qwen (with a penalty of repetitions,
    which is not there)."""
    top_k: int = 0
    """0: all tokens."""
    max_new_tokens: int = 64
    batch_size: int = 64
    """Answers sampled together."""
    stop: str = "\n"
    """Answers are cut at the first occurrence; empty for none."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("prompts", "max_new_tokens", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("answers", self.answers, 2)
        yield from at_least("top_k", self.top_k, 0)
        yield from in_range("top_p", self.top_p, 1e-6, 1.0)
        if not self.temperature > 0:
            yield "temperature", f"must be above 0 for answers that differ, got {self.temperature}"

    def key(self, config: Config) -> dict[str, Any]:
        """The prompts and how answers are drawn; batches only tile them."""
        return {
            **{name: getattr(self, name) for name in _SAMPLING},
            "tasks": self.data.mixtures[self.split].tasks,
            "data": open_data(self.data).fingerprint({"instructions"}),
            "precision": precision_of(config),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``answers.jsonl``: a record per prompt with all its answers.

        A killed step goes on.

        Raises:
            DataError: where the data have no instruction of the wanted tasks.
            CompatibilityError: for a model with a router.
        """
        refuse_routed(context.inputs["model"], context.name)
        wanted = self.data.mixtures[self.split].tasks
        asked = list(islice(
            (i for i in open_data(self.data).instructions() if wanted is None or i.task in wanted),
            self.prompts,
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
        sampler = _Sampler(
            read_out(model), tokenizer, self, context.seed, stop_ids(tokenizer, model)
        )
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
        write_answers(records, context.directory / answer_files.ANSWERS_FILE)
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
        asks = [instruction.prompt for instruction in asked]
        if uses_chat(self.tokenizer, str(step.data.chat)):
            asks = [chat_prompt(self.tokenizer, [], prompt) for prompt in asks]
        texts = encoder.texts(asks)
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
