"""Let a source model answer instructions several times; text is all that leaves it."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from rich.console import Console
from rich.progress import Progress

from franken.composition.hydra import Decoding, Strategy, decode
from franken.config.steps import SampleAnswersStep
from franken.data import open_data
from franken.data.source import Instruction
from franken.errors import CompatibilityError, DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.readout import Readout, read_out
from franken.parts.model import assemble
from franken.preference.answers import ANSWERS_FILE, Answer, Answered, write_answers
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import open_model
from franken.steps.route import is_routed
from franken.store import Artifact


def run(step: SampleAnswersStep, context: StepContext) -> dict[str, Any]:
    """Writes ``answers.jsonl``: a record per prompt with all its answers.

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
    drawn = list(_drawn(read_out(model), tokenizer, asked, step, context.seed))
    records = [
        Answered(
            instruction.prompt, instruction.response.strip(), instruction.task,
            tuple(drawn[at * step.answers : (at + 1) * step.answers]),
        )
        for at, instruction in enumerate(asked)
    ]  # fmt: skip
    write_answers(records, context.directory / ANSWERS_FILE)
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


def _drawn(
    readout: Readout, tokenizer: Any, asked: list[Instruction], step: SampleAnswersStep, seed: int
) -> Iterator[Answer]:
    """``step.answers`` answers to each instruction in turn; draws do not depend on the batches."""
    encoder = Encoder(tokenizer)
    room = readout.positions
    room = None if room is None else max(1, room - step.max_new_tokens)
    prompts = [encoder.opened(ids, room)[0] for ids in encoder.texts([i.prompt for i in asked])]
    total = len(prompts) * step.answers
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sampling answers", total=total)
        for start in range(0, total, step.batch_size):
            rows = range(start, min(start + step.batch_size, total))
            made = decode(
                readout,
                [prompts[row // step.answers] for row in rows],
                Decoding(
                    Strategy.sample, step.max_new_tokens, temperature=step.temperature,
                    top_k=step.top_k, top_p=step.top_p,
                    seed=derive_seed(seed, "sample_answers"), first=start,
                ),
                end=tokenizer.eos_token_id,
                writable=readout.vocabulary,
            )  # fmt: skip
            for written in made:
                text = str(tokenizer.decode(written.ids, skip_special_tokens=True))
                stopped = bool(step.stop) and step.stop in text.strip()
                if stopped:
                    text = text.strip().split(step.stop)[0]
                yield Answer(
                    text.strip(), written.log_prob, len(written.ids), written.ended or stopped
                )
            progress.update(bar, completed=rows.stop)
