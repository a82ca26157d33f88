"""Back-translation: genuine target-language text is translated into the source language."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import field
from itertools import islice
from typing import Any, ClassVar

from franken.config.checks import at_least
from franken.config.data import DataConfig
from franken.data import open_data
from franken.errors import DataError
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.key_parts import prompt, texts

with later():
    from franken.composition.hydra import HydraModel, Segment, assemble_hydra
    from franken.config.root import Config
    from franken.data.encoding import split_pair
    from franken.data.generated_pairs import write_pairs
    from franken.data.source import Pair
    from franken.decoding import Decoding, Ends, Strategy, decode
    from franken.decoding.ends import before_stop, text_is_over
    from franken.eval_suite.encoding import fitting
    from franken.eval_suite.readout import read_out
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_hydra_model
    from franken.tokenizer.text_ids import opening_ids

log = logging.getLogger(__name__)


@step
class BackTranslateStep(Step):
    """Translate target-language text into the source language; pairs with a genuine target side."""

    version: ClassVar[int] = 2
    output: ClassVar[Part] = Part.pairs
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    role: str = "monolingual"
    sentences: int = 2000
    """Per language; the first ones of the role."""
    prompt: str | None = None
    """Template; ``null``: ``data.parallel_template``."""
    beams: int = 1
    temperature: float = 0.0
    """0: the most likely tokens; above: sampled at this temperature."""
    max_new_tokens: int = 64
    batch_size: int = 64
    """Sentences decoded together."""
    stop: str = "\n"
    """Generations are cut at the first occurrence."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("sentences", "beams", "max_new_tokens", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("temperature", self.temperature, 0.0)
        if self.beams > 1 and self.temperature > 0:
            yield "beams", "cannot go with temperature > 0; choose one"
        if self.role not in ("monolingual", "documents"):
            yield "role", f"must be monolingual or documents, got {self.role!r}"

    def key(self, config: Config) -> dict[str, Any]:
        """The sentences, the prompt and the search."""
        own = ("role", "sentences", "beams", "temperature", "max_new_tokens", "stop")
        return {
            **{name: getattr(self, name) for name in own},
            "prompt": prompt(self.prompt, self.data), "data": texts(self.data),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``pairs/<language>.jsonl``: generated source side, genuine target side.

        Raises:
            DataError: where a language has no text of the role.
        """
        hydra = assemble_hydra(
            open_hydra_model(context.inputs["model"], context.store), device=context.device
        )
        source = open_data(self.data)
        counts: dict[str, int] = {}
        for language in self.data.languages:
            lines = list(islice(_sentences(source, self.role, language), self.sentences))
            if not lines:
                raise DataError(
                    f"role {self.role!r} has no text in {language!r} to translate back; check the "
                    "data"
                )
            pairs = list(_translated(hydra, lines, language, self, context.seed))
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
