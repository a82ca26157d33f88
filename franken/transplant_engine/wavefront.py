"""``engine=wavefront``, the fast one: all pairs in one pass over the layers, one token per row.

A change at the last position p of layer j leaves every earlier position and layers up to j as they
were. So the prompt's prefix is computed once, the last token walks through the layers once, and at
layer j the rows with target layer j leave it: ``a_j + f_i``. A row joins the batch where it first
differs. The whole grid takes ``2 N P + N^2 (N - 1) / 2 + N^3 (G - 1)`` layer tokens, the least that
an exact computation needs.

The model's own code runs throughout (norms, rotary tables, soft caps, parallel blocks); only its
attention function and its cache are exchanged, which transformers allows by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

from franken.declare import option
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.transplant_engine.base import TransplantEngine

with later():
    import torch
    from torch import Tensor

    from franken.inference.xtransplant import contract
    from franken.inference.xtransplant.choices import Positions, Steps
    from franken.inference.xtransplant.contract import (
        Decoding,
        Intervention,
        Options,
        Pair,
        Runs,
        Task,
    )
    from franken.inference.xtransplant.donors import donor_vectors
    from franken.inference.xtransplant.drafts import decode_drafted
    from franken.inference.xtransplant.engine_parts import joined, prefill, spread
    from franken.inference.xtransplant.greedy import Rows
    from franken.inference.xtransplant.host import Host, rebuilt, tensor_of
    from franken.inference.xtransplant.plan import plan_rows, shares_last_column
    from franken.inference.xtransplant.shared_prefix import PrefixCache, attending

COMPACT_BELOW = 0.75
"""Finished rows are dropped from the batch when fewer than this share go on."""


@option
class Wavefront(TransplantEngine):
    """One pass over the layers for all pairs; families with a pluggable attention function."""

    every_position: ClassVar[bool] = False

    def run(
        self, host: Host, task: Task, pairs: Sequence[Pair], intervention: Intervention,
        decoding: Decoding, options: Options | None = None,
    ) -> Runs:  # fmt: skip
        """Answers for all pairs; tokens equal those of ``naive``.

        Raises:
            CompatibilityError: for ``positions=all``, and for families whose attention function
                cannot be exchanged.
        """
        options = options or contract.PLAIN
        _check(host, intervention)
        clock = contract.Clock(host)
        vectors = donor_vectors(host, task.donor, intervention, decoding)
        plan = plan_rows(pairs, host.depth, task, intervention, decoding, share=options.share)
        prefix = prefill(host, task.target[:-1], intervention)
        parts: list[Runs] = []
        size = options.max_rows or len(plan.rows)
        for start in range(0, len(plan.rows), size):
            some = plan.rows[start : start + size]
            parts.append(
                _Front(host, task, some, vectors, prefix, intervention, decoding).run(options)
            )
            if parts[-1].cut:
                break
        return spread(joined(parts, clock.spent()), plan)

    def grid_layer_tokens(self, n: int, p: int, g: int) -> int:
        return 2 * n * p + n**2 * (n - 1) // 2 + n**3 * (g - 1)

    def column_layer_tokens(self, n: int, p: int, g: int) -> int:
        return 2 * n * p + n * (n - 1) + n**2 * (g - 1)


def _check(host: Host, intervention: Intervention) -> None:
    """Whether the engine can serve a model and an intervention."""
    if intervention.positions is Positions.all:
        raise CompatibilityError(
            "engine=wavefront shares the prompt's prefix, which positions=all changes; use "
            "engine=cache"
        )
    if not getattr(host.model, "_supports_attention_backend", False):
        raise CompatibilityError(
            f"engine=wavefront needs a family with an exchangeable attention function; "
            f"{host.anatomy.family!r} has none in transformers, use engine=cache"
        )


class _Front:
    """One pass over the layers with a growing batch, then decoding of all its rows."""

    def __init__(
        self,
        host: Host,
        task: Task,
        pairs: list[Pair],
        vectors: Tensor,
        prefix: Any,
        what: Intervention,
        decoding: Decoding,
    ) -> None:
        self.host, self.task, self.pairs = host, task, pairs
        self.vectors, self.what, self.decoding = vectors, what, decoding
        self.cache = PrefixCache(
            prefix, len(task.target) - 1, len(pairs), decoding.max_new_tokens
        )  # fmt: skip
        self.active: Tensor | None = None
        """``(b, 1, D)`` rows with a target layer below the current one."""

    def run(self, options: Options) -> Runs:
        with attending(self.host.config, self.cache):
            states = self._first()
            rows = Rows(
                [self.task] * len(self.pairs), self.decoding, self.host.device,
                keep_logits=options.keep_logits,
            )  # fmt: skip
            tokens = rows.push(self.host.last_logits(states))
            same = self._coinciding(rows) if options.share else {}
            alive = [row for row in rows.going() if row not in same]
            if self.task.draft and self._few(len(alive), options):
                decode_drafted(self.host, self.cache, rows, alive, self.task.draft)
            else:
                self._decode(rows, tokens, alive)
        of = [same.get(row, row) for row in range(len(self.pairs))]
        runs = rows.runs(self.pairs, of, 0)
        # coinciding rows have their first logits for themselves
        runs.first_logits = rows.first_logits
        if not self.task.lead:
            runs.watched = rows.watched
        runs.margins[:, 0] = rows.margins[:, 0]
        runs.rows -= len(same)
        runs.cut = runs.cut or rows.solved
        return runs

    def _few(self, rows: int, options: Options) -> bool:
        return self.what.steps is Steps.prefill and rows <= options.draft_rows

    def _first(self) -> Tensor:
        """``(R, 1, D)`` final states of the token at p, one row per pair."""
        last = self.task.target[-1:].to(self.host.device)
        with ExitStack() as stack:
            for layer, module in enumerate(self.host.layers):
                stack.enter_context(self._grown(layer, module))
            states = self.host.states(
                input_ids=last[None],
                position_ids=self._positions(1),
                past_key_values=self.cache,
            )
        return states[1:]

    @contextmanager
    def _grown(self, layer: int, module: Any) -> Iterator[None]:
        """Let a layer's rows join in it: the clean row goes in, clean and joining rows come out.

        The patch makes one row many: the site's output gets a row per donor, and the residual sum
        broadcasts. The rows that joined earlier pass through the layer in a second call.
        """
        joining = [source for source, target in self.pairs if target == layer]
        before = sum(target < layer for _, target in self.pairs)
        inside = False

        def enter(module: Any, args: Any, kwargs: Any) -> None:
            if not inside:
                self.cache.view, self.cache.joining = None, before

        def leave(module: Any, args: Any, kwargs: Any, output: Any) -> Any:
            nonlocal inside
            if inside:
                return None
            clean = tensor_of(output)
            parts = [clean[:1]]
            rows = [] if self.active is None else [through(module, args, kwargs, before)]
            if joining:
                rows.append(clean[1:])
            self.active = torch.cat(rows) if rows else None
            if layer + 1 == self.host.depth and self.active is not None:
                parts.append(self.active)
            return rebuilt(output, torch.cat(parts))

        def through(module: Any, args: Any, kwargs: Any, count: int) -> Tensor:
            nonlocal inside
            inside, self.cache.view = True, slice(0, count)
            try:
                if args:
                    return tensor_of(module(self.active, *args[1:], **kwargs))
                return tensor_of(module(**{**kwargs, "hidden_states": self.active}))
            finally:
                inside = False

        def change(own: Tensor) -> Tensor:
            if inside or not joining:
                return own
            donors = self.vectors[0, joining, -1:]
            return torch.cat([own, self.what.combine(own, donors)])

        with ExitStack() as stack:
            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.enter_context(self.host.patched(layer, self.what.site, change))
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
            yield

    def _coinciding(self, rows: Rows) -> dict[int, int]:
        """Row -> earlier row of the last target layer with the same first token."""
        if not shares_last_column(self.what):
            return {}
        first: dict[int, int] = {}
        same = {}
        for row, (_, target) in enumerate(self.pairs):
            if target == self.host.depth - 1:
                lead = first.setdefault(rows.tokens[row][0], row)
                if lead != row:
                    same[row] = lead
        return same

    def _decode(self, rows: Rows, tokens: Tensor, alive: list[int]) -> None:
        held = list(range(len(self.pairs)))
        while alive:
            if len(alive) < (COMPACT_BELOW * len(held) if self.cache.step else len(held)):
                place = {row: at for at, row in enumerate(held)}
                kept = [place[row] for row in alive]
                self.cache.keep(kept)
                tokens, held = tokens[torch.tensor(kept, device=tokens.device)], alive
            self.cache.step += 1
            self.cache.view = slice(0, len(held))
            with self._patched_step(held, self.cache.step):
                states = self.host.states(
                    input_ids=tokens[:, None],
                    position_ids=self._positions(len(held)),
                    past_key_values=self.cache,
                )
            tokens = rows.push(self.host.last_logits(states), held)
            alive = rows.going(alive)

    @contextmanager
    def _patched_step(self, held: list[int], step: int) -> Iterator[None]:
        with ExitStack() as stack:
            if self.what.steps is Steps.every:
                for layer in {self.pairs[row][1] for row in held}:
                    at = [n for n, row in enumerate(held) if self.pairs[row][1] == layer]
                    sources = [self.pairs[held[n]][0] for n in at]
                    donors = self.vectors[step, sources, -1:]
                    stack.enter_context(
                        self.host.patched(
                            layer, self.what.site, _rows_changed(at, donors, self.what)
                        )
                    )
            yield

    def _positions(self, rows: int) -> Tensor:
        position = self.cache.position + self.cache.step
        return torch.full((rows, 1), position, device=self.host.device)


def _rows_changed(at: list[int], donors: Tensor, what: Intervention) -> Any:
    def change(own: Tensor) -> Tensor:
        changed = own.clone()
        changed[at] = what.combine(own[at], donors)
        return changed

    return change
