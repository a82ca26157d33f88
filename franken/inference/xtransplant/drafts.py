"""Several tokens per pass for few rows: a guess is read as a whole, and kept while it is right.

Few rows are bound by memory, not by arithmetic: a pass over twenty tokens takes little longer than
one over a single token. The answer without a transplant, or that of any finished row, is a good
guess. Greedy decoding keeps the longest prefix that it would have written itself, so the tokens are
those of plain decoding. Useless for a full grid, whose rows are many.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from franken.inference.xtransplant.greedy import Rows
from franken.inference.xtransplant.host import Host
from franken.inference.xtransplant.shared_prefix import Fed, PrefixCache


def decode_drafted(
    host: Host, cache: PrefixCache, rows: Rows, alive: list[int], draft: Sequence[int]
) -> None:
    """Finish all rows; each has its first token.

    Args:
        host: the model, attending over ``cache``.
        cache: one row of slots per row of ``rows``, filled up to p.
        rows: the rows.
        alive: those that go on.
        draft: the first guess.
    """
    known = [list(draft)]
    held = list(range(rows.count))
    limit = rows.decoding.max_new_tokens
    while alive:
        if alive != held:
            place = {row: at for at, row in enumerate(held)}
            cache.keep([place[row] for row in alive])
            held = alive
        fed = [
            [own[-1], *guess(own, known)[: limit - 1 - len(own)]]
            for own in (rows.tokens[row] for row in held)
        ]
        states = _pass(host, cache, fed, [len(rows.tokens[row]) for row in held], limit)
        _accept(host, rows, held, fed, states)
        alive = rows.going(alive)
        known += [rows.tokens[row] for row in held if rows.done[row]]
    cache.fed = None


def guess(own: Sequence[int], known: Sequence[Sequence[int]]) -> Sequence[int]:
    """What follows in the known text that agrees with the latest tokens for longest.

    Texts are compared place by place; nothing follows where no text has the last token there.
    """
    best: Sequence[int] = ()
    longest = 0
    for text in known:
        length = 0
        while length < len(own) <= len(text) and text[len(own) - 1 - length] == own[-1 - length]:
            length += 1
        if length > longest:
            longest, best = length, text[len(own) :]
    return best


def _pass(
    host: Host, cache: PrefixCache, fed: list[list[int]], ends: list[int], limit: int
) -> Tensor:
    """``(B, T, D)`` final states; ``ends`` are the places after p where the rows stand."""
    cache.fed = Fed(ends, [len(row) for row in fed], limit, host.device)
    cache.view = slice(0, len(fed))
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in fed], batch_first=True)
    return host.states(
        input_ids=ids.to(host.device), position_ids=cache.position + cache.fed.steps,
        past_key_values=cache,
    )  # fmt: skip


def _accept(host: Host, rows: Rows, held: list[int], fed: list[list[int]], states: Tensor) -> None:
    """Take tokens column by column from the rows whose guess has been right so far."""
    going = list(range(len(held)))
    for column in range(states.shape[1]):
        logits = host.last_logits(states[going, column : column + 1])
        chosen = rows.push(logits, [held[at] for at in going]).tolist()
        going = [
            at
            for at, token in zip(going, chosen, strict=True)
            if not rows.done[held[at]] and fed[at][column + 1 : column + 2] == [token]
        ]
        if not going:
            return
