"""All runs of one model on all samples: baselines, sampling, transplants; resumable at any sample.

A unit is what one sample gave in one run. Finished ones lie as Parquet files in the working
directory and can be read while the rest runs.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from franken.config.prompts import PromptsConfig
from franken.decoding import stop_ids
from franken.inference.base import Inference
from franken.inference.xtransplant import XTransplant
from franken.inference.xtransplant.batched import (
    answer_plainly,
    answer_with_pair,
    batches,
    fits_batches,
    in_batches,
    sample_answers,
)
from franken.inference.xtransplant.choices import Stop, Unstable
from franken.inference.xtransplant.contract import (
    PLAIN,
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
from franken.inference.xtransplant.plan import check_pairs, pair_set
from franken.inference.xtransplant.preflight import UNCHECKED_BELOW, Preflight, preflight
from franken.inference.xtransplant.progress import Progress
from franken.inference.xtransplant.rows import SAMPLED, TRANSPLANT, Row, RowFiles
from franken.inference.xtransplant.samples import (
    Sample,
    Tokens,
    baseline_prompt,
    plain_task,
    solved,
)
from franken.inference.xtransplant.scoring import watch_options
from franken.products import asking
from franken.prompts import Prompt
from franken.seeds import derive_seed
from franken.transplant_engine.base import engine_of
from franken.transplant_engine.naive import Naive

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
    config: Inference
    prompts: PromptsConfig
    files: RowFiles
    pairs_of: Callable[[str, str], list[Pair]]
    progress: Progress
    seed: int = 0
    checked: Preflight | None = None
    truncated: Counter[str] = field(default_factory=Counter)
    """Baseline -> prompts that were longer than the model can read and lost their beginning."""

    @property
    def decoding(self) -> Decoding:
        """Greedy decoding with the ends of text that tokenizer and checkpoint name."""
        found = stop_ids(self.tokens.encoder.tokenizer, self.host.model)
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
        self.progress.begin(sum(map(len, groups)), self._answers_due(groups))
        with asking(self.host.model):
            for samples in groups:
                for run in self.config.baselines:
                    self._plain(samples, run)
                self._sampled(samples)
                if isinstance(self.config, XTransplant):
                    self._transplants(samples, self.config)
                else:
                    self.progress.done("plain", 0, samples=len(samples), fresh=False)

    def _answers_due(self, groups: Sequence[list[Sample]]) -> Counter[str]:
        due: Counter[str] = Counter()
        for samples in groups:
            first = samples[0].pair
            due["plain"] += len(samples) * len(self.config.baselines)
            due[SAMPLED] += len(samples) * self.config.samples
            due[TRANSPLANT] += len(samples) * len(self.pairs_of(first.set, first.lang))
        return due

    def _plain(self, samples: list[Sample], run: str) -> None:
        prompts = [baseline_prompt(self.prompts, sample.pair, run) for sample in samples]
        asked = [plain_task(prompt, self.tokens) for prompt in prompts]
        self.truncated[run] += sum(cut for _, cut in asked)
        left = self._left(samples, run)
        self.progress.done("plain", len(samples) - len(left), fresh=False)
        for batch in self._batches([asked[at][0] for at in left]):
            chosen = [left[n] for n in batch]
            runs = self._answered([asked[at][0] for at in chosen])
            for row, at in enumerate(chosen):
                found = self._row(samples[at], run, (-1, -1), runs, row, prompts[at])
                self.files.write(self._unit(samples[at], run), [found])
            self.progress.done("plain", len(batch))

    def _answered(self, tasks: list[Task]) -> Runs:
        runs = answer_plainly(self.host, tasks, self.decoding)
        again = partial(answer_plainly, self.host)
        return watch_options(runs, tasks, self.decoding, again)

    def _sampled(self, samples: list[Sample]) -> None:
        if not self.config.samples:
            return
        left = self._left(samples, SAMPLED)
        done = (len(samples) - len(left)) * self.config.samples
        self.progress.done(SAMPLED, done, fresh=False)
        for at in left:
            self.files.write(self._unit(samples[at], SAMPLED), self._draws(samples[at]))
            self.progress.done(SAMPLED, self.config.samples)

    def _draws(self, sample: Sample) -> list[Row]:
        """Sampled answers; all have the option logits of their one prompt."""
        rows = []
        task = plain_task(sample.pair.target, self.tokens)[0]
        watched = self._answered([task]).watched if task.lead else None
        for start in range(0, self.config.samples, SAMPLED_BATCH):
            count = min(SAMPLED_BATCH, self.config.samples - start)
            seed = derive_seed(self.seed, "sampled", sample.pair.set, sample.pair.lang,
                               sample.pair.id, start)  # fmt: skip
            runs = sample_answers(
                self.host, task, count, self.decoding,
                temperature=self.config.temperature, seed=seed,
            )  # fmt: skip
            if watched is not None:
                runs.watched = watched.expand(count, -1)
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
        one = len(pairs) == 1 and not engine_of(config.engine).is_oracle
        if one and fits_batches(self.intervention):
            self._check_batches(samples, pairs[0], config)
            self._fixed_pair(samples, pairs[0], config)
            return
        self._check_engine(samples[0], pairs, config, engine_of(config.engine).run, config.engine)
        for sample in samples:
            fresh = not self.files.has(self._unit(sample, TRANSPLANT))
            if fresh:
                self._grid(sample, pairs, config)
            self.progress.done(TRANSPLANT, len(pairs), samples=1, fresh=fresh)

    def _drafted(
        self, samples: list[Sample], pairs: Sequence[Pair], config: XTransplant
    ) -> list[Sample]:
        """Samples with their vanilla answers as drafts, where the pairs are few and it is known."""
        if len(pairs) > config.draft_rows or "vanilla" not in config.baselines:
            return samples
        answers = [
            self.files.unit(self._unit(sample, "vanilla"))["tokens"][0].as_py()
            for sample in samples
        ]
        return [
            replace(sample, task=replace(sample.task, draft=tuple(answer)))
            for sample, answer in zip(samples, answers, strict=True)
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
        if engine_of(config.engine).is_oracle or not config.verify or self.checked is not None:
            return
        self.checked = preflight(
            self.host, sample.task, pairs, self.intervention, self.decoding, engine,
            name=name, count=config.verify, seed=self.seed, draft_rows=config.draft_rows,
        )  # fmt: skip
        log.info("%s against naive: %s", name, self.checked)
        self.progress.skip()

    def _grid(self, sample: Sample, pairs: Sequence[Pair], config: XTransplant) -> None:
        """All pairs of a sample; of one that was cut, those whose texts are whole."""
        task = sample.task
        if config.stop is Stop.first_correct:
            task = replace(task, solved=solved(sample, self.tokens))
        options = Options(
            share=config.share, max_rows=config.max_rows, draft_rows=config.draft_rows
        )
        runs = self._of_pairs(engine_of(config.engine).run, task, pairs, options)
        if runs.cut:
            runs = runs.taken([at for at, whole in enumerate(runs.finished) if whole])
        unstable = self._unstable(runs)
        again = [pair for pair, bad in zip(runs.pairs, unstable, strict=True) if bad]
        redone: dict[Pair, int] = {}
        other = runs
        if again and config.unstable is Unstable.rerun and not runs.cut:
            other = self._of_pairs(Naive().run, sample.task, again, PLAIN)
            redone = {pair: row for row, pair in enumerate(other.pairs)}
        rows = [
            self._row(
                sample, TRANSPLANT, pair, other if pair in redone else runs,
                redone.get(pair, row), sample.pair.target, unstable=unstable[row],
            )
            for row, pair in enumerate(runs.pairs)
        ]  # fmt: skip
        self.files.write(
            self._unit(sample, TRANSPLANT), rows, layer_tokens=runs.layer_tokens, cut=runs.cut
        )

    def _of_pairs(
        self, engine: EngineRun, task: Task, pairs: Sequence[Pair], options: Options
    ) -> Runs:
        runs = engine(self.host, task, pairs, self.intervention, self.decoding, options)

        def again(tasks: list[Task], decoding: Decoding) -> Runs:
            return engine(self.host, tasks[0], runs.pairs, self.intervention, decoding, options)

        return watch_options(runs, [task], self.decoding, again)

    def _fixed_pair(self, samples: list[Sample], pair: Pair, config: XTransplant) -> None:
        left = [samples[at] for at in self._left(samples, TRANSPLANT)]
        done = len(samples) - len(left)
        self.progress.done(TRANSPLANT, done, samples=done, fresh=False)
        tasks = [sample.task for sample in left]

        def answer(tasks: list[Task], decoding: Decoding) -> Runs:
            return answer_with_pair(self.host, tasks, pair, self.intervention, decoding)

        for batch in self._batches(tasks):
            chosen = [tasks[at] for at in batch]
            runs = answer(chosen, self.decoding)
            runs = watch_options(runs, chosen, self.decoding, answer)
            unstable = self._unstable(runs)
            for row, at in enumerate(batch):
                again = unstable[row] and config.unstable is Unstable.rerun
                own, place = (runs, row)
                if again:
                    own, place = self._of_pairs(Naive().run, tasks[at], [pair], PLAIN), 0
                found = self._row(left[at], TRANSPLANT, pair, own, place, left[at].pair.target,
                                  unstable=unstable[row])  # fmt: skip
                self.files.write(self._unit(left[at], TRANSPLANT), [found])
            self.progress.done(TRANSPLANT, len(batch), samples=len(batch))

    def _left(self, samples: Sequence[Sample], run: str) -> list[int]:
        """Which samples have no unit of a run yet."""
        return [
            at for at, sample in enumerate(samples) if not self.files.has(self._unit(sample, run))
        ]

    def _batches(self, tasks: Sequence[Task]) -> Any:
        lengths = [
            max(len(task.target), len(task.donor.ids)) + self.config.max_new_tokens
            for task in tasks
        ]
        return batches(lengths, self.config.batch_tokens)

    @property
    def unstable_below(self) -> float:
        """Margins below this are marked."""
        if self.checked:
            return self.checked.unstable_below
        return UNCHECKED_BELOW.get(next(self.host.model.parameters()).dtype, 0.0)

    def _unstable(self, runs: Runs) -> list[bool]:
        return [margin < self.unstable_below for margin in runs.least_margin()]

    def _row(
        self, sample: Sample, run: str, spot: Pair, runs: Runs, at: int, prompt: Prompt,
        *, unstable: bool = False,
    ) -> Row:  # fmt: skip
        return judged(sample, run, spot, runs, at, prompt, self.tokens, unstable=unstable)

    def _unit(self, sample: Sample, run: str) -> str:
        return f"{sample.pair.set}-{sample.pair.lang}-{sample.pair.index:07d}-{run}"
