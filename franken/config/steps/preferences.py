"""Steps that make preferences: answers are sampled from source models, scored and paired."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range
from franken.config.data import DataConfig
from franken.config.steps.core import Part, StepConfig


class Scorer(StrEnum):
    """What makes one answer better than another."""

    verdict = "verdict"
    """1 where it agrees with the data's own response (same last number, else same words), or 0."""
    likelihood = "likelihood"
    """Mean log-likelihood per token under ``judge``."""
    file = "file"
    """``score_file``: a reward model's scores, made elsewhere."""


@dataclass
class SampleAnswersStep(StepConfig):
    """Let a source model answer the prompts of the role ``instructions`` several times."""

    kind: ClassVar[str] = "sample_answers"
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


@dataclass
class RankAnswersStep(StepConfig):
    """Score sampled answers; the best and the worst of a prompt become a preference."""

    kind: ClassVar[str] = "rank_answers"
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
