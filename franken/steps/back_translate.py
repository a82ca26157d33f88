"""Back-translation: genuine target-language text is translated into the source language."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any

from franken.composition.hydra import (
    HydraModel,
    Segment,
    assemble_hydra,
)
from franken.config.steps import BackTranslateStep
from franken.data import open_data
from franken.data.encoding import split_pair
from franken.data.generated_pairs import write_pairs
from franken.data.source import Pair
from franken.decoding import Decoding, Ends, Strategy, decode
from franken.decoding.ends import before_stop, text_is_over
from franken.errors import DataError
from franken.eval_suite.encoding import fitting
from franken.eval_suite.readout import read_out
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import open_hydra_model
from franken.tokenizer.text_ids import opening_ids

log = logging.getLogger(__name__)


def run(step: BackTranslateStep, context: StepContext) -> dict[str, Any]:
    """Writes ``pairs/<language>.jsonl``: generated source side, genuine target side.

    Raises:
        DataError: where a language has no text of the role.
    """
    hydra = assemble_hydra(
        open_hydra_model(context.inputs["model"], context.store), device=context.device
    )
    source = open_data(step.data)
    counts: dict[str, int] = {}
    for language in step.data.languages:
        lines = list(islice(_sentences(source, step.role, language), step.sentences))
        if not lines:
            raise DataError(
                f"role {step.role!r} has no text in {language!r} to translate back; check the data"
            )
        pairs = list(_translated(hydra, lines, language, step, context.seed))
        write_pairs(pairs, context.directory / "pairs", language)
        counts[language] = len(pairs)
    return {"pairs": counts}


def _sentences(source: Any, role: str, language: str) -> Iterator[str]:
    for text in source.texts(role, language):
        yield from (line for line in text.splitlines() if line.strip())


def _translated(
    hydra: HydraModel, lines: list[str], language: str, step: BackTranslateStep, seed: int
) -> Iterator[Pair]:
    """Pairs in the order of the lines; a line without a translation is left out."""
    data = step.data
    names = [data.language_names.get(code, code) for code in (language, data.source_language)]
    read, write = (hydra.router.by_language(code) for code in (language, data.source_language))
    view = hydra.view(write, [read])
    strategy = Strategy.beam if step.beams > 1 else Strategy.greedy
    if step.temperature > 0:
        strategy = Strategy.sample
    template = step.prompt or data.parallel_template
    network = read_out(view.model)
    room = None if network.positions is None else max(1, network.positions - step.max_new_tokens)
    opening = len(opening_ids(view.tables[read].tokenizer))
    ends = Ends(view.ends.ids, text_is_over(view.tokenizer, [step.stop]))
    for start in range(0, len(lines), step.batch_size):
        chosen = lines[start : start + step.batch_size]
        whole = [
            view.encode([Segment(read, split_pair(template, (line, ""), names)[0])])
            for line in chosen
        ]
        prompts = [fitting(ids, room, opening) for ids in whole]
        cut = sum(len(ids) < len(full) for ids, full in zip(prompts, whole, strict=True))
        if cut:
            log.warning(
                "%d of %d prompts in %r lost their beginning to the model's %d positions",
                cut, len(prompts), language, network.positions,
            )  # fmt: skip
        options = Decoding(
            strategy, step.max_new_tokens, beams=step.beams, temperature=step.temperature or 1.0,
            seed=derive_seed(seed, "back_translation", language), first=start,
        )  # fmt: skip
        made = decode(network, prompts, options, ends=ends, writable=view.writable)
        for line, written in zip(chosen, made, strict=True):
            text = before_stop(view.decode(written.ids), [step.stop])[0].strip()
            if text:
                yield Pair(text, line)
