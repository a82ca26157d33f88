"""Options of the group ``inference``: what is done to a model while it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from franken.config.checks import at_least, hint, in_range
from franken.config.data import ChatForm
from franken.declare import find, options
from franken.transplant_engine.base import TransplantEngine


class Site(StrEnum):
    """Which activation is transplanted."""

    ffn_out = "ffn_out"
    """Output of the feed-forward block, before a norm that may follow it: the paper's v1."""
    ffn_branch = "ffn_branch"
    """What the feed-forward block adds to the residual, after that norm (Gemma 2/3, OLMo 2)."""
    attn_out = "attn_out"
    """Output of the attention block: what the paper's v2 describes."""
    mid_residual_added = "mid_residual_added"
    """The residual after attention, written in place of the attention output: what v2's release
    computes, because an in-place sum overwrites the stored tensor."""
    block_out = "block_out"
    """The residual stream after the layer."""


class Op(StrEnum):
    """How the donor's vector ``f`` and the target's own ``o`` are combined."""

    replace = "replace"  # type: ignore[assignment]
    """``f``: the paper."""
    add = "add"
    """``o + alpha f``"""
    lerp = "lerp"
    """``(1 - alpha) o + alpha f``"""


class Positions(StrEnum):
    """Which prompt positions are patched."""

    last = "last"
    all = "all"
    """Needs donor and target prompts of equal length in tokens."""


class Steps(StrEnum):
    """Which forward passes are patched."""

    prefill = "prefill"
    """Only the one that yields the first new token: the paper."""
    every = "every"
    """Each one; the donor decodes freely on its own, and its vectors of the same step are used."""


class DonorKind(StrEnum):
    """Where the transplanted vectors come from."""

    translation = "translation"
    """The same question in the other language: the paper."""
    self = "self"
    """The target prompt itself: a control without a second language."""
    shuffled = "shuffled"
    """The translation of another question of the same language: a control without the meaning."""
    noise = "noise"
    """Gaussian directions with the norms of the translation's vectors: a control without content
    (the release's noise control is not defined)."""


class Direction(StrEnum):
    """Which prompt of a pair is answered."""

    en2x = "en2x"
    """The target-language prompt is answered, the source language donates (v1, multilingual)."""
    x2en = "x2en"
    """The source-language prompt is answered, the other language donates (v1, cultural)."""


class Unstable(StrEnum):
    """What is done with rows whose best two tokens nearly tie."""

    mark = "mark"
    rerun = "rerun"
    """Run again with the naive engine; still marked."""


class Stop(StrEnum):
    """When a row's generation ends, beside end-of-text and the token limit."""

    text = "text"
    """Never earlier."""
    verdict = "verdict"
    """As soon as the strict matcher's verdict cannot change; texts and other matchers are cut."""
    first_correct = "first_correct"
    """A sample ends with its first correct pair: enough for the upper bound, no heat map."""


class Numbers(StrEnum):
    """Number format of the model while it answers."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Opening(StrEnum):
    """Whether prompts begin with a beginning-of-text token (end-of-text where there is none)."""

    always = "always"
    """As in training and evaluation here."""
    tokenizer = "tokenizer"
    """As the tokenizer does by itself: the paper (Llama and Mistral yes, Qwen 2 no)."""


class SelectMode(StrEnum):
    """Which pairs compete."""

    overall = "overall"
    targetfirst = "targetfirst"
    """Target layer 0."""
    sourcelast = "sourcelast"
    """Source layer N - 1."""


class Scope(StrEnum):
    """What one pair is chosen for."""

    language = "language"
    """Each language of a set: the paper."""
    task = "task"
    """A set, all languages together."""


class TieBreak(StrEnum):
    """Which of equally good pairs is taken."""

    paper = "paper"
    """Smallest target layer, then largest source layer; pushes towards "last to first"."""
    random = "random"
    """Any of them, drawn from the seed: no direction is favoured."""


class Judge(StrEnum):
    """Whose verdict counts."""

    strict = "strict"
    lenient = "lenient"
    option = "option"


@dataclass
class SelectConfig:
    """The search for one fixed pair (the paper's offline strategy, as far as its code shows it)."""

    mode: SelectMode = SelectMode.targetfirst
    scope: Scope = Scope.language
    tie_break: TieBreak = TieBreak.paper
    judge: Judge = Judge.strict
    pilot: int | None = None
    """Samples per language that are looked at; ``null``: all of the pilot run."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("pilot", self.pilot, 1)


PAIR_SETS = ("grid", "targetfirst", "sourcelast", "diagonal", "file")


@dataclass
class InferenceConfig:
    """What every option has; ``none`` answers the prompts as they are."""

    name: str = "none"
    direction: Direction = Direction.en2x
    max_new_tokens: int = 20
    batch_tokens: int = 8192
    """Tokens per forward pass of plain prompts and fixed pairs, padding included."""
    opening: Opening = Opening.always
    chat: ChatForm = ChatForm.off
    """Whether prompts are put in the model's chat template; ``off`` as in the paper's release. An
    answer then begins a turn, so options are looked for without the space before them."""
    repetition_penalty: float = 1.0
    """Set here and never taken from the checkpoint's generation config (Qwen 2 ships 1.05)."""
    dtype: Numbers = Numbers.float32
    baselines: list[str] = field(default_factory=lambda: ["vanilla", "pivot", "pim"])
    """Prompted without a transplant: ``vanilla`` (the target prompt), ``pivot`` (the donor prompt:
    translate, then infer), ``pim`` (both in one prompt, the donor's first; the paper's order is not
    known)."""
    samples: int = 0
    """Sampled answers per prompt, the control for upper bounds at equal budget; 0: none."""
    temperature: float = 1.0
    select: SelectConfig = field(default_factory=lambda: SelectConfig())
    """How a pair is chosen from the runs of a pilot part."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("max_new_tokens", self.max_new_tokens, 1)
        yield from at_least("repetition_penalty", self.repetition_penalty, 1e-6)
        yield from at_least("samples", self.samples, 0)
        yield from at_least("temperature", self.temperature, 1e-6)
        for name in self.baselines:
            if name not in ("vanilla", "pivot", "pim"):
                yield "baselines", f"holds {name!r}; valid: vanilla, pivot, pim"


@dataclass
class NoIntervention(InferenceConfig):
    """Plain answers: the baselines alone."""


@dataclass
class XTransplant(InferenceConfig):
    """One vector of a donor prompt's pass put into the pass of the target prompt."""

    name: str = "xtransplant"
    site: Site = Site.ffn_out
    op: Op = Op.replace
    alpha: float = 1.0
    positions: Positions = Positions.last
    steps: Steps = Steps.prefill
    donor: DonorKind = DonorKind.translation
    pairs: Any = "grid"
    """grid, targetfirst (target layer 0), sourcelast, diagonal, file, or a list of
    ``[source, target]`` layers; negative ones count from the last layer."""
    pairs_file: str | None = None
    """For ``pairs=file``: what a ``select_pairs`` step wrote, or the same layout by hand."""
    engine: str = "wavefront"
    """A file of ``franken/transplant_engine``: naive, cache, wavefront; all give equal tokens."""
    verify: int = 4
    """Pairs of the first sample on which the engine must equal ``naive`` before work starts. 0: not
    checked; the report says so, and near ties are marked by a fixed margin (half precision) or not
    at all (float32)."""
    unstable: Unstable = Unstable.mark
    stop: Stop = Stop.text
    share: bool = True
    """Runs that must coincide are computed once (identical prompts on the diagonal; rows of the
    last target layer with equal first tokens)."""
    max_rows: int | None = None
    """Pairs decoded at once by ``wavefront``; ``null``: all. Bounds the memory."""
    draft_rows: int = 64
    """Up to so many pairs, ``wavefront`` takes the vanilla answer as a draft and reads all of it in
    one pass: the same tokens, sooner where few rows leave a device idle. 0: never."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("alpha", self.alpha, -10.0, 10.0)
        yield from at_least("verify", self.verify, 0)
        yield from at_least("max_rows", self.max_rows, 1)
        yield from at_least("draft_rows", self.draft_rows, 0)
        if self.op is Op.replace and self.alpha != 1.0:
            yield "alpha", "has no meaning for op=replace; use op=lerp or op=add"
        if isinstance(self.pairs, str):
            if self.pairs not in PAIR_SETS:
                yield "pairs", f"is {self.pairs!r}; valid: {', '.join(PAIR_SETS)} or a list [[i,j]]"
        elif not _is_pair_list(self.pairs):
            yield "pairs", f"must be a list of [source, target] layers, got {self.pairs!r}"
        if self.pairs == "file" and not self.pairs_file:
            yield "pairs_file", "is missing: pairs=file reads it"
        known = options("transplant_engine")
        if self.engine not in known:
            yield "engine", f"{self.engine!r} is no engine.{hint(self.engine, known)}"
        elif self.positions is Positions.all and not engine_of(self.engine).every_position:
            yield (
                "engine",
                f"{self.engine} shares the prompt's prefix, positions=all changes it; use cache",
            )


def engine_of(name: str) -> TransplantEngine:
    """The engine of a name.

    Raises:
        ConfigError: for an unknown one.
    """
    found: TransplantEngine = find("transplant_engine", name)()
    return found


def _is_pair_list(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(pair, list) and len(pair) == 2 and all(type(x) is int for x in pair)
            for pair in value
        )
    )


OPTIONS: dict[str, type[InferenceConfig]] = {"none": NoIntervention, "xtransplant": XTransplant}
