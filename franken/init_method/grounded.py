"""Grounded token initialisation (GTI, arXiv 2604.02324): rows learnt from what tokens mean.

The start map is that of ``named_tokens``; or, as in the paper, the mean of all rows. Then the body
is frozen and the rows of tokens with a ``text`` alone are trained on pairs: the token after its
description, and the description after the token. The training is
``franken/training/learners/grounded.py``. The paper grounds 8,000 steps of 128 pairs of item texts
in recommendation; prompts and schedule here are ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.init_method.named_tokens import NamedTokensInit
from franken.lazy import later

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.options import Fallback
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.training.learners import LearnedRows, LearnTask, grounded


@option
class GroundedInit(InitMethod):
    """Trains rows of tokens that a file names on their descriptions, both ways (GTI)."""

    paper: ClassVar[str] = "GTI, arXiv 2604.02324"
    learned: ClassVar[bool] = True

    tokens: str = ""
    """The file of ``vocab.tokens``; tokens with ``text`` are trained."""
    from_mean: bool = False
    """Start named tokens at the mean of all rows (the paper), not at their description's rows."""
    both_ways: bool = True
    """Also learn the description after the token, not the token after its description alone."""
    ask: str = "{text}:"
    """What stands before a token that its description calls for."""
    tell: str = "{token} means"
    """What stands before a description that its token calls for."""
    epochs: int = 30
    """Passes over the pairs."""
    batch_size: int = 16
    """Pairs per step."""
    lr: float = 1e-3
    """Peak rate; a warm-up over a tenth of the steps, then down to zero."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.tokens:
            yield "tokens", "names no file; give the one that vocab.tokens names"
        if "{text}" not in self.ask:
            yield "ask", f"must hold {{text}}, got {self.ask!r}"
        if "{token}" not in self.tell:
            yield "tell", f"must hold {{token}}, got {self.tell!r}"
        for key, minimum in (("epochs", 1), ("batch_size", 1), ("lr", 0.0)):
            yield from at_least(key, getattr(self, key), minimum)

    def paths(self) -> dict[str, str]:
        return {"tokens": self.tokens}

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Fit the map from which training starts; ``resources`` are not used."""
        if self.from_mean:
            builder = MapBuilder(source, target, self, seed)
            builder.copy_overlap()
            token_map = builder.build(Fallback.mean)
        else:
            shared = {key: getattr(self, key) for key in asdict(InitMethod()) if key != "name"}
            named = NamedTokensInit(**shared, tokens=self.tokens)
            token_map = named.fit(source, target, resources, seed)
        token_map.notes = {**token_map.notes, "method": self.name, "options": asdict(self)}
        return token_map

    def learn(self, task: LearnTask) -> LearnedRows:
        """The training."""
        return grounded.learn(task, self)
