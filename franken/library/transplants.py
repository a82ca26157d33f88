"""``transplant``: XTransplant's grid over all pairs of layers, for prompts with a donor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from franken.errors import ConfigError
from franken.inference.xtransplant import (
    Decoding,
    Donor,
    Intervention,
    Options,
    Pair,
    Task,
    open_host,
)
from franken.inference.xtransplant.host import Host, check_site
from franken.inference.xtransplant.plan import absolute, check_pairs, pair_set
from franken.inference.xtransplant.samples import Tokens
from franken.library.options import chosen
from franken.library.origin import check_objects, origin_of
from franken.products import asking
from franken.transplant_engine.base import engine_of


@dataclass
class Grid:
    """Answers of every prompt for every pair of layers."""

    depth: int
    """N, the number of layers."""
    pairs: list[Pair]
    """(source layer, target layer), both from 0."""
    tokens: list[list[list[int]]]
    """Prompt, pair -> new tokens, an end-of-text included."""
    margins: Tensor
    """``(prompts, pairs)`` the smallest difference of the best two logits of a row."""
    texts: list[list[str]] | None
    """Prompt, pair -> answer; ``None`` where no tokenizer is known."""
    layer_tokens: int
    """Tokens through layers: the cost."""

    def score(self, right: Callable[[int, str], bool]) -> np.ndarray:
        """``(N, N)`` share of the prompts answered right, by source and target layer.

        Args:
            right: index of the prompt and an answer -> whether it is right.

        Returns:
            The heat map; NaN for pairs that were not run.

        Raises:
            ConfigError: where the answers are token ids alone.
        """
        if self.texts is None:
            raise ConfigError("score reads texts; give transplant a tokenizer=")
        found = np.full((self.depth, self.depth), np.nan)
        for at, (source, target) in enumerate(self.pairs):
            marks = [right(index, row[at]) for index, row in enumerate(self.texts)]
            found[source, target] = float(np.mean(marks))
        return found


def transplant(
    model: PreTrainedModel,
    prompts: Sequence[tuple[Any, Any]],
    *,
    tokenizer: Any = None,
    engine: str = "wavefront",
    **options: Any,
) -> Grid:
    """Answer prompts while one activation of a donor prompt is put into the pass (XTransplant).

    Args:
        model: a causal language model of a known family, on any device; unchanged afterwards.
        prompts: pairs of the prompt that is answered and the donor prompt (the same question in
            the other language); texts, or lists of token ids.
        tokenizer: its tokenizer; not needed for token ids, nor for a model that franken made.
        engine: ``wavefront``, ``cache`` or ``naive``; all give the same tokens.
        options: of ``inference=xtransplant``: ``pairs``, ``site``, ``op``, ``alpha``,
            ``positions``, ``steps``, ``max_new_tokens``, ``max_rows``, ...

    Returns:
        The answers.

    Raises:
        ConfigError: for an unknown option, a value out of range, or texts without a tokenizer.
        CompatibilityError: where the family lacks the site, or the engine cannot serve it.
    """
    config = chosen("inference", "xtransplant", {"engine": engine, **options}, "transplant")
    check_objects("transplant", model=model)
    origin = origin_of(model)
    tokenizer = tokenizer or (None if origin is None else origin.tokenizer)
    was_training = model.training
    model.eval()
    host = open_host(model)
    try:
        check_site(host, config.site)
        run = engine_of(config.engine).run
        pairs = _pairs(config.pairs, host.depth)
        tasks = _tasks(prompts, tokenizer, config, host)
        what = Intervention(config.site, config.op, config.alpha, config.positions, config.steps)
        decoding = Decoding(
            config.max_new_tokens, _ends(model, tokenizer), config.repetition_penalty
        )
        more = Options(share=config.share, max_rows=config.max_rows)
        with asking(model):
            runs = [run(host, task, pairs, what, decoding, more) for task in tasks]
    finally:
        host.close()
        model.train(was_training)
    texts = None
    if tokenizer is not None:
        decode = tokenizer.decode
        texts = [[decode(row, skip_special_tokens=True) for row in r.tokens] for r in runs]
    margins = torch.tensor([r.least_margin() for r in runs])
    return Grid(
        host.depth, list(runs[0].pairs), [r.tokens for r in runs], margins, texts,
        sum(r.layer_tokens for r in runs),
    )  # fmt: skip


def _pairs(named: Any, depth: int) -> list[Pair]:
    pairs = pair_set(named, depth) if isinstance(named, str) else absolute(named, depth)
    check_pairs(pairs, depth)
    return pairs


def _tasks(prompts: Sequence[Any], tokenizer: Any, config: Any, host: Host) -> list[Task]:
    if not prompts:
        raise ConfigError("transplant: prompts= is empty; give pairs of a prompt and its donor")
    tokens = None if tokenizer is None else Tokens(tokenizer, config, host.readout.positions)

    def ids(prompt: Any) -> Tensor:
        if not isinstance(prompt, str):
            return torch.as_tensor(prompt, dtype=torch.long)
        if tokens is None:
            raise ConfigError(
                "transplant: prompts= are texts, and the model's tokenizer is not known; give "
                "tokenizer=, or token ids"
            )
        return tokens.ids(prompt)[0]

    tasks = []
    for prompt in prompts:
        if isinstance(prompt, str) or len(prompt) != 2:
            raise ConfigError(
                f"transplant: prompts= holds {prompt!r}; expected pairs of the prompt that is "
                "answered and the donor prompt"
            )
        target, donor = prompt
        tasks.append(Task(ids(target), Donor(ids(donor))))
    return tasks


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """End-of-text ids that tokenizer and checkpoint name."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    own = None if tokenizer is None else tokenizer.eos_token_id
    return tuple(sorted({int(end) for end in [own, *listed] if end is not None}))
