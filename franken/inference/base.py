"""What every option of inference has, and how a pair of layers is selected."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least, members_by_name
from franken.config.data import ChatForm


class Direction(StrEnum):
    """Which prompt of a pair is answered."""

    en2x = "en2x"
    """The target-language prompt is answered, the source language donates (v1, multilingual)."""
    x2en = "x2en"
    """The source-language prompt is answered, the other language donates (v1, cultural)."""


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


@members_by_name
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


@dataclass
class Inference:
    """What every option has; ``none`` answers the prompts as they are."""

    name: str = "none"
    """What is done."""
    direction: Direction = Direction.en2x
    max_new_tokens: int = 20
    """Tokens per answer at most."""
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
    """Of sampled answers."""
    select: SelectConfig = field(default_factory=SelectConfig)
    """How a pair is chosen from the runs of a pilot part."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("max_new_tokens", self.max_new_tokens, 1)
        yield from at_least("repetition_penalty", self.repetition_penalty, 1e-6)
        yield from at_least("samples", self.samples, 0)
        yield from at_least("temperature", self.temperature, 1e-6)
        for name in self.baselines:
            if name not in ("vanilla", "pivot", "pim"):
                yield "baselines", f"holds {name!r}; valid: vanilla, pivot, pim"
