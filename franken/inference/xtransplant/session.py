"""All runs of one model on all samples: baselines, sampling, transplants; resumable at any sample.

Finished units lie as Parquet files in the working directory and can be read while the rest runs.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from franken.config.inference import (
    Engine,
    InferenceConfig,
    Stop,
    Unstable,
    XTransplant,
)
from franken.config.prompts import PromptsConfig
from franken.inference.xtransplant import ENGINES
from franken.inference.xtransplant.batched import (
    answer_plainly,
    answer_with_pair,
    batches,
    fits_batches,
    in_batches,
    sample_answers,
)
from franken.inference.xtransplant.contract import (
    Decoding,
    EngineRun,
    Intervention,
    Options,
    Pair,
    Runs,
    Task,
)
from franken.inference.xtransplant.host import Host, check_site
from franken.inference.xtransplant.judging import judged
from franken.inference.xtransplant.naive import run_naive
from franken.inference.xtransplant.plan import check_pairs, pair_set
from franken.inference.xtransplant.preflight import Preflight, preflight
from franken.inference.xtransplant.progress import Progress
from franken.inference.xtransplant.rows import SAMPLED, TRANSPLANT, Row, RowFiles, only
from franken.inference.xtransplant.samples import (
    Sample,
    Tokens,
    baseline_prompt,
    plain_task,
    solved,
)
from franken.prompts import Prompt
from franken.seeds import derive_seed

log = logging.getLogger(__name__)

SAMPLED_BATCH = 64
"""Draws of one prompt per batch: part of what a seed means, so not tied to the memory at hand."""


@dataclass
class Session:
    """One model under one inference option.

    Attributes:
        host: the model.
        tokens: its tokenizer.
        config: what is done.
        prompts: for the baselines that need both languages.
        files: where finished units go.
        pairs_of: (set, language) -> the pairs to run.
        progress: told of every unit.
        seed: for sampling and the choice of compared pairs.
    """

    host: Host
    tokens: Tokens
    config: InferenceConfig
    prompts: PromptsConfig
    files: RowFiles
    pairs_of: Callable[[str, str], list[Pair]]
    progress: Progress
    seed: int = 0
    checked: Preflight | None = None
    layer_tokens: int = 0
    """Spent on transplants in this process."""
    cut_samples: int = 0

    @property
    def decoding(self) -> Decoding:
        """Greedy decoding with the ends of text that tokenizer and checkpoint name."""
        tokenizer = self.tokens.encoder.tokenizer
        ends = getattr(getattr(self.host.model, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, list) else [ends]
        found = {end for end in [tokenizer.eos_token_id, *listed] if end is not None}
        return Decoding(
            self.config.max_new_tokens, tuple(sorted(found)), self.config.repetition_penalty
        )

    @property
    def intervention(self) -> Intervention:
        """What is transplanted."""
        assert isinstance(self.config, XTransplant)
        own = self.config
        return Intervention(own.site, own.op, own.alpha, own.positions, own.steps)

    def run(self, groups: Sequence[list[Sample]]) -> None:
        """Run everything for lists of samples, each of one set and language."""
        self.progress.begin(sum(1 + len(samples) for samples in groups))
        with torch.inference_mode():
            for samples in groups:
                self._baselines(samples)
                if isinstance(self.config, XTransplant):
                    self._transplants(samples, self.config)
                else:
                    self.progress.done(len(samples), fresh=False)

    def _baselines(self, samples: list[Sample]) -> None:
        first = samples[0].pair
        name = f"{first.set}-{first.lang}-plain"
        fresh = not self.files.has(name)
        if fresh:
            rows = [row for run in self.config.baselines for row in self._plain(samples, run)]
            rows += self._sampled(samples)
            self.files.write(name, rows)
        self.progress.done(1, fresh=fresh)

    def _plain(self, samples: list[Sample], run: str) -> list[Row]:
        prompts = [baseline_prompt(self.prompts, sample.pair, run) for sample in samples]
        tasks = [plain_task(prompt, self.tokens)[0] for prompt in prompts]
        rows: dict[int, Row] = {}
        for batch in self._batches(tasks):
            runs = answer_plainly(self.host, [tasks[at] for at in batch], self.decoding)
            for row, at in enumerate(batch):
                rows[at] = self._row(samples[at], run, (-1, -1), runs, row, prompts[at])
        return [rows[at] for at in sorted(rows)]

    def _sampled(self, samples: list[Sample]) -> list[Row]:
        rows = []
        for sample in samples:
            task = plain_task(sample.pair.target, self.tokens)[0]
            for start in range(0, self.config.samples, SAMPLED_BATCH):
                count = min(SAMPLED_BATCH, self.config.samples - start)
                seed = derive_seed(self.seed, "sampled", sample.pair.set, sample.pair.lang,
                                   sample.pair.id, start)  # fmt: skip
                runs = sample_answers(
                    self.host, task, count, self.decoding,
                    temperature=self.config.temperature, seed=seed,
                )  # fmt: skip
                rows += [
                    self._row(sample, SAMPLED, (start + at, -1), runs, at, sample.pair.target)
                    for at in range(count)
                ]
        return rows

    def _transplants(self, samples: list[Sample], config: XTransplant) -> None:
        check_site(self.host, config.site)
        first = samples[0].pair
        pairs = self.pairs_of(first.set, first.lang)
        check_pairs(pairs, self.host.depth)
        samples = self._drafted(samples, pairs, config)
        one = len(pairs) == 1 and config.engine is not Engine.naive
        if one and fits_batches(self.intervention):
            self._check_batches(samples, pairs[0], config)
            self._fixed_pair(samples, pairs[0])
            return
        self._check_engine(samples[0], pairs, config, ENGINES[config.engine], str(config.engine))
        for sample in samples:
            name = self._unit(sample)
            fresh = not self.files.has(name)
            if fresh:
                self.files.write(name, self._grid(sample, pairs, config))
            self.progress.done(1, fresh=fresh)

    def _drafted(
        self, samples: list[Sample], pairs: Sequence[Pair], config: XTransplant
    ) -> list[Sample]:
        """Samples with their vanilla answers as drafts, where the pairs are few and it is known."""
        if len(pairs) > config.draft_rows or "vanilla" not in config.baselines:
            return samples
        first = samples[0].pair
        rows = only(self.files.unit(f"{first.set}-{first.lang}-plain"), run="vanilla")
        answers = dict(zip(rows["id"].to_pylist(), rows["tokens"].to_pylist(), strict=True))
        return [
            replace(sample, task=replace(sample.task, draft=tuple(answers[sample.pair.id])))
            for sample in samples
        ]

    def _check_batches(self, samples: list[Sample], pair: Pair, config: XTransplant) -> None:
        """A fixed pair runs in padded batches: they are what must equal ``naive``."""
        others = [other for other in pair_set("grid", self.host.depth) if other != pair]
        beside = [sample.task for sample in samples[1:3]]
        self._check_engine(samples[0], [pair, *others], config, in_batches(beside), "batches")

    def _check_engine(
        self, sample: Sample, pairs: Sequence[Pair], config: XTransplant, engine: EngineRun,
        name: str,
    ) -> None:  # fmt: skip
        if config.engine is Engine.naive or not config.verify or self.checked is not None:
            return
        self.checked = preflight(
            self.host, sample.task, pairs, self.intervention, self.decoding, engine,
            name=name, count=config.verify, seed=self.seed, draft_rows=config.draft_rows,
        )  # fmt: skip
        log.info("%s against naive: %s", name, self.checked)

    def _grid(self, sample: Sample, pairs: Sequence[Pair], config: XTransplant) -> list[Row]:
        task = sample.task
        if config.stop is Stop.first_correct:
            task = replace(task, solved=solved(sample, self.tokens))
        options = Options(
            share=config.share, max_rows=config.max_rows, draft_rows=config.draft_rows
        )
        engine = ENGINES[config.engine]
        runs = engine(self.host, task, pairs, self.intervention, self.decoding, options)
        self.layer_tokens += runs.layer_tokens
        self.cut_samples += runs.cut
        unstable = [margin < self._threshold() for margin in runs.least_margin()]
        again = [pair for pair, bad in zip(runs.pairs, unstable, strict=True) if bad]
        redone: dict[Pair, int] = {}
        other = runs
        if again and config.unstable is Unstable.rerun and not runs.cut:
            other = run_naive(self.host, sample.task, again, self.intervention, self.decoding)
            redone = {pair: row for row, pair in enumerate(other.pairs)}
        return [
            self._row(
                sample, TRANSPLANT, pair, other if pair in redone else runs,
                redone.get(pair, row), sample.pair.target, unstable=unstable[row],
            )
            for row, pair in enumerate(runs.pairs)
        ]  # fmt: skip

    def _fixed_pair(self, samples: list[Sample], pair: Pair) -> None:
        left = [sample for sample in samples if not self.files.has(self._unit(sample))]
        self.progress.done(len(samples) - len(left), fresh=False)
        tasks = [sample.task for sample in left]
        for batch in self._batches(tasks):
            chosen = [tasks[at] for at in batch]
            runs = answer_with_pair(self.host, chosen, pair, self.intervention, self.decoding)
            for row, at in enumerate(batch):
                unstable = runs.least_margin()[row] < self._threshold()
                found = self._row(left[at], TRANSPLANT, pair, runs, row, left[at].pair.target,
                                  unstable=unstable)  # fmt: skip
                self.files.write(self._unit(left[at]), [found])
            self.progress.done(len(batch))

    def _batches(self, tasks: Sequence[Task]) -> Any:
        lengths = [
            max(len(task.target), len(task.donor.ids)) + self.config.max_new_tokens
            for task in tasks
        ]
        return batches(lengths, self.config.batch_tokens)

    def _threshold(self) -> float:
        return self.checked.unstable_below if self.checked else 0.0

    def _row(
        self, sample: Sample, run: str, spot: Pair, runs: Runs, at: int, prompt: Prompt,
        *, unstable: bool = False,
    ) -> Row:  # fmt: skip
        return judged(sample, run, spot, runs, at, prompt, self.tokens, unstable=unstable)

    def _unit(self, sample: Sample) -> str:
        return f"{sample.pair.set}-{sample.pair.lang}-{sample.pair.index:07d}"
