"""Prompt pairs as token ids with donors: what the engines are given."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from franken.config.prompts import Portion, PromptsConfig
from franken.data.source import DataSource
from franken.errors import DataError
from franken.eval_suite.encoding import Encoder
from franken.inference.base import Direction, Inference
from franken.inference.xtransplant.choices import DonorKind, Stop
from franken.inference.xtransplant.contract import Donor, Task
from franken.prompts import Defect, Prompt, PromptPair, part_of, prompt_pairs, strict_v1
from franken.prompts.matchers import decided
from franken.prompts.pairs import parallel_prompt
from franken.seeds import derive_seed
from franken.tokenizer.chat import chat_prompt, uses_chat

LONGEST_LEAD = 7
"""Tokens that options may share at their beginning and still be scored."""


@dataclass(frozen=True)
class Sample:
    """One question ready to run."""

    pair: PromptPair
    task: Task
    truncated: bool
    """Whether a prompt was longer than the model can read and lost its beginning."""


class Tokens:
    """Prompts to ids, answers to text."""

    def __init__(self, tokenizer: Any, config: Inference, positions: int | None) -> None:
        """Args: ``positions`` is the longest input of the model."""
        self.encoder, self.config = Encoder(tokenizer, opening=str(config.opening)), config
        self.chat = uses_chat(tokenizer, str(config.chat))
        new = max(config.max_new_tokens, LONGEST_LEAD + 1)
        self.room = None if positions is None else max(1, positions - new)

    def ids(self, text: str) -> tuple[torch.Tensor, bool]:
        """Ids of a prompt, and whether its beginning was cut off."""
        if self.chat:
            text = chat_prompt(self.encoder.tokenizer, [], text)
        opened, cut = self.encoder.opened(self.encoder.text(text), self.room)
        return torch.tensor(opened), cut

    def text(self, tokens: Sequence[int]) -> str:
        """An answer as text, without special tokens."""
        decoded: str = self.encoder.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return decoded

    def told_apart(self, options: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens that all options begin with, such as a bracket, and the next one of each.

        Both are empty where that token does not tell all options apart.
        """
        begins = [option.strip() if self.chat else option for option in options]
        ids = [self.encoder.continuation(option) for option in begins]
        lead = _common_beginning(ids) if len(ids) > 1 else ()
        following = tuple(own[len(lead)] for own in ids if len(own) > len(lead))
        clear = len(set(following)) == len(ids) and len(lead) <= LONGEST_LEAD
        return (lead, following) if clear else ((), ())

    def length(self, text: str) -> int:
        """Tokens of a continuation."""
        return len(self.encoder.continuation(text))


def gather(
    prompts: PromptsConfig,
    name: str,
    data: DataSource,
    lang: str,
    portion: Portion,
    tokens: Tokens,
    *,
    donor: DonorKind,
    stop: Stop,
    seed: int,
) -> tuple[list[Sample], list[Defect]]:
    """The samples of one set in one language, and what is wrong with the data.

    ``shuffled`` donors are those of the other questions of the same part, by a seeded rotation of a
    seeded order, so that no question keeps its own.

    Raises:
        DataError: for an empty part, or a single question that is to be shuffled.
    """
    direction = Direction(tokens.config.direction)
    pairs, defects = prompt_pairs(prompts, name, data, lang, direction)
    chosen = part_of(pairs, portion, prompts.pilot)
    donors = [pair.donor for pair in chosen]
    if donor is DonorKind.self:
        donors = [pair.target for pair in chosen]
    elif donor is DonorKind.shuffled:
        donors = _shuffled(donors, derive_seed(seed, "shuffled", name, lang), f"{name} {lang}")
    samples = []
    for pair, other in zip(chosen, donors, strict=True):
        noise = derive_seed(seed, "noise", name, lang, pair.id)
        samples.append(_sample(pair, other, tokens, noise if donor is DonorKind.noise else None,
                               stop))  # fmt: skip
    own = [*_too_long(name, lang, chosen, tokens), *_not_told_apart(name, lang, samples)]
    return samples, [*defects, *own]


def _common_beginning(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    columns = list(zip(*rows, strict=False))
    end = next((n for n, column in enumerate(columns) if len(set(column)) > 1), len(columns))
    return tuple(rows[0][:end])


def plain_task(prompt: Prompt, tokens: Tokens) -> tuple[Task, bool]:
    """A prompt without a transplant."""
    ids, cut = tokens.ids(prompt.text)
    lead, watch = tokens.told_apart(prompt.options)
    return Task(ids, Donor(ids), watch=watch, lead=lead), cut


def baseline_prompt(prompts: PromptsConfig, pair: PromptPair, run: str) -> Prompt:
    """What a baseline asks: ``vanilla``, ``pivot`` (the other language's prompt) or ``pim``."""
    if run == "pim":
        return parallel_prompt(prompts, pair)
    return pair.target if run == "vanilla" else pair.donor


def _shuffled(donors: list[Prompt], seed: int, where: str) -> list[Prompt]:
    if len(donors) < 2:
        raise DataError(f"{where}: donor=shuffled needs at least two samples")
    order = list(range(len(donors)))
    random.Random(seed).shuffle(order)
    found = list(donors)
    for at, row in enumerate(order):
        found[row] = donors[order[(at + 1) % len(order)]]
    return found


def _sample(
    pair: PromptPair, donor: Prompt, tokens: Tokens, noise: int | None, stop: Stop
) -> Sample:
    task, cut = plain_task(pair.target, tokens)
    ids, donor_cut = tokens.ids(donor.text)
    gold = pair.target.gold

    def says(verdict: Callable[..., bool]) -> Callable[[Sequence[int]], bool]:
        return lambda row: verdict(tokens.text(row), gold)

    task = replace(
        task,
        donor=Donor(ids, noise),
        decided=says(decided) if stop is not Stop.text else None,
    )
    return Sample(pair, task, cut or donor_cut)


def solved(sample: Sample, tokens: Tokens) -> Callable[[Sequence[int]], bool]:
    """Whether a finished row is right by the strict rule (for ``stop=first_correct``)."""
    gold = sample.pair.target.gold
    return lambda row: strict_v1(tokens.text(row), gold)


def _not_told_apart(name: str, lang: str, samples: Sequence[Sample]) -> list[Defect]:
    """Questions whose options cannot be scored by one token."""
    rows = [s.pair.index for s in samples if len(s.pair.target.options) > 1 and not s.task.watch]
    if not rows:
        return []
    message = (
        f"in {len(rows)} of {len(samples)} questions some options share their first token (beyond "
        "what all begin with), so the option verdict leaves them out"
    )
    return [Defect("options_clash", name, lang, tuple(rows), message, False)]


def _too_long(name: str, lang: str, pairs: Sequence[PromptPair], tokens: Tokens) -> list[Defect]:
    """Gold answers that cannot be written in the tokens allowed: a ceiling of every method."""
    limit = tokens.config.max_new_tokens
    rows = [
        pair.index for pair in pairs if tokens.length(" " + pair.target.gold.word) > limit
    ] if not pairs[0].target.gold.marks else []  # fmt: skip
    if not rows:
        return []
    message = f"{len(rows)} gold answers need more than {limit} new tokens and cannot be given"
    return [Defect("long_gold", name, lang, tuple(rows), message, False)]
