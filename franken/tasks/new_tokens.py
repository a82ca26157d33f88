"""What became of a vocabulary's new tokens: whether they are read, expected, written, and moved."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any, ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, task_kind

with later():
    import torch
    from torch import Tensor

    from franken.decoding import left_padded
    from franken.eval_suite.generation import Limits
    from franken.eval_suite.readout import Readout
    from franken.eval_suite.suite import Item, TaskRun
    from franken.tokenizer.pieces import (
        canonical_bytes,
        label_of,
        special_ids,
        vocabulary_overlap,
    )


WHOLE = "all"
"""Stands in the place of a language for figures of the table itself."""
PROMPT_TOKENS = 16
"""Tokens of a document that a generation goes on from."""
DEFAULT_WINDOW = 1024


@dataclass(frozen=True)
class Origin:
    """What a model's vocabulary and table came from.

    Attributes:
        new: ids of tokens that the base's vocabulary has not, control tokens left out.
        old: ids of those that it has.
        rows: ``(V, X)`` input embeddings as the initialiser made them; ``None``: not known.
        now: ``(V, X)`` input embeddings as they are.
    """

    new: Tensor
    old: Tensor
    now: Tensor
    rows: Tensor | None = None

    @property
    def is_new(self) -> Tensor:
        """``(V,)`` bool."""
        found = torch.zeros(self.now.shape[0], dtype=torch.bool)
        found[self.new] = True
        return found


def origin_of(model: Any, tokenizer: Any, base: Any, rows: Tensor | None) -> Origin:
    """Which tokens of a model's vocabulary that of its base has not.

    Args:
        model: a causal LM of transformers.
        tokenizer: its tokenizer.
        base: tokenizer of the base.
        rows: ``(V, X)`` input embeddings as the initialiser made them.
    """
    special, known = special_ids(tokenizer), vocabulary_overlap(base, tokenizer)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    return Origin(
        new=torch.tensor([token for token in ordinary if token not in known], dtype=torch.long),
        old=torch.tensor([token for token in ordinary if token in known], dtype=torch.long),
        now=model.get_input_embeddings().weight.detach().cpu(),
        rows=rows,
    )


@dataclass
class Seen:
    """What the model says at every place of some text, new and old gold tokens apart."""

    probabilities: dict[bool, list[float]] = field(default_factory=lambda: {True: [], False: []})
    ranks: dict[bool, list[int]] = field(default_factory=lambda: {True: [], False: []})
    mass: list[float] = field(default_factory=list)
    """Probability that some new token comes next."""
    gold: Counter[int] = field(default_factory=Counter)
    gold_probability: Counter[int] = field(default_factory=Counter)
    best: Counter[int] = field(default_factory=Counter)
    """How often each token is the most likely one."""


@task_kind
class NewTokens(EvalTask):
    """Whether new tokens of a vocabulary are read, expected, written, and moved by training."""

    reads_text: ClassVar[bool] = True

    def run(self, task: TaskRun) -> None:
        """Score a text role in each language, then the table as a whole.

        Per language, ``new.`` of new tokens and ``old.`` of old ones: ``share`` of the tokens of
        the text, and ``written`` of those of greedy generations from its beginnings;
        ``probability`` (mean) and ``rank`` (median) of the token that comes, ``mass`` on all new
        tokens together, and ``dead``: of the new tokens in the text, the share that is nowhere the
        most likely one and never written. Of the table: ``norm`` of new rows over that of old ones,
        ``cosine`` to the mean row, and ``moved``: mean change by training over the norm before, and
        ``changed``, the share of rows.
        """
        origin = task.origin
        if origin is None:
            for lang in task.languages(task.speaks):
                task.skip(lang, "the model has the base's vocabulary")
            return
        shape = _rows(origin)
        for lang in task.languages(task.speaks):
            _language(task, lang, origin, shape)
        for metric, value in _table_figures(origin, shape).items():
            task.figure(WHOLE, metric, value, len(origin.new))


def _language(task: TaskRun, lang: str, origin: Origin, shape: dict[str, Tensor]) -> None:
    rows = task.encoder.held_out(task.held_out(lang))
    is_new = origin.is_new
    limits = (task.config.window_tokens, task.readout.positions)
    width = min((limit for limit in limits if limit), default=DEFAULT_WINDOW)
    start = list(task.encoder.start)
    pieces = [ids[at : at + width - 1] for ids in rows for at in range(0, len(ids), width - 1)]
    seen = look(task.readout, [[*start, *ids] for ids in pieces], is_new, task.batch_tokens)
    prompts = [[*start, *ids[:PROMPT_TOKENS]] for ids in rows if ids]
    made = task.written(
        lang, prompts, Limits(task.config.max_new_tokens, end_ids=task.encoder.end_ids)
    )
    written = Counter(token for one in made for token in one.ids)
    gold = Counter(token for ids in rows for token in ids)
    figures = {
        "new.share": share(gold, is_new),
        "new.written": share(written, is_new),
        "new.mass": sum(seen.mass) / max(1, len(seen.mass)),
    }
    for new, name in ((True, "new"), (False, "old")):
        if seen.ranks[new]:
            known = seen.probabilities[new]
            figures[f"{name}.probability"] = sum(known) / len(known)
            figures[f"{name}.rank"] = float(median(seen.ranks[new]))
    used = [token for token in gold if is_new[token]]
    dead = [token for token in used if not seen.best[token] and not written[token]]
    if used:
        figures["new.dead"] = len(dead) / len(used)
    for metric, value in figures.items():
        task.figure(lang, metric, value, sum(gold.values()))
    task.keep(_items(task, lang, gold, seen, written, is_new, shape))


def share(counts: Counter[int], is_new: Tensor) -> float:
    """Share of new tokens among counted ones."""
    total = counts.total()
    return sum(count for token, count in counts.items() if is_new[token]) / max(1, total)


def look(readout: Readout, rows: list[list[int]], is_new: Tensor, batch_tokens: int) -> Seen:
    """The model's view of every token but the first of each row.

    Args:
        readout: the model.
        rows: token ids.
        is_new: ``(V,)`` bool; rows of padding beyond it count as old.
        batch_tokens: tokens per forward pass, padding included.
    """
    seen = Seen()
    order = sorted((row for row in rows if len(row) > 1), key=len, reverse=True)
    columns = is_new.nonzero().squeeze(1).to(readout.device)
    while order:
        count = max(1, readout.tokens_per_forward(batch_tokens) // len(order[0]))
        batch, order = order[:count], order[count:]
        ids, mask, positions = left_padded(batch)
        output = readout.run(
            input_ids=ids.to(readout.device), attention_mask=mask.to(readout.device),
            position_ids=positions.to(readout.device), use_cache=False,
        )  # fmt: skip
        known = (mask[:, :-1] > 0).flatten()
        states = readout.states(output)[:, :-1].flatten(0, 1)[known.to(readout.device)]
        _take(seen, readout, states, ids[:, 1:].flatten()[known], is_new, columns)
    return seen


def _take(
    seen: Seen, readout: Readout, states: Tensor, gold: Tensor, is_new: Tensor, columns: Tensor
) -> None:
    step = readout.rows_per_chunk()
    for at in range(0, len(gold), step):
        wanted = gold[at : at + step].to(readout.device)
        logits = readout.logits(states[at : at + step])
        chosen = logits.gather(1, wanted[:, None])
        total = logits.logsumexp(1, keepdim=True)
        ranks = ((logits > chosen).sum(1) + 1).tolist()
        probabilities = (chosen - total).exp().squeeze(1).tolist()
        seen.mass += (logits[:, columns] - total).exp().sum(1).tolist()
        seen.best.update(logits.argmax(1).tolist())
        for token, rank, probability in zip(wanted.tolist(), ranks, probabilities, strict=True):
            kind = bool(is_new[token])
            seen.ranks[kind].append(rank)
            seen.probabilities[kind].append(probability)
            seen.gold[token] += 1
            seen.gold_probability[token] += probability


def _rows(origin: Origin) -> dict[str, Tensor]:
    """Per row: norm, cosine to the mean row, and the change by training over the norm before."""
    now = origin.now.float()
    kept = torch.cat([origin.new, origin.old])
    mean = now[kept].mean(0)
    found = {
        "norm": now.norm(dim=1),
        "cosine": torch.cosine_similarity(now, mean[None], dim=1),
    }
    if origin.rows is not None:
        before = origin.rows.float()
        found["moved"] = (now - before).norm(dim=1) / before.norm(dim=1).clamp(min=1e-12)
    return found


def _table_figures(origin: Origin, shape: dict[str, Tensor]) -> dict[str, float]:
    figures = {}
    for name, ids in (("new", origin.new), ("old", origin.old)):
        if not len(ids):
            continue
        figures[f"{name}.cosine"] = float(shape["cosine"][ids].mean())
        if "moved" in shape:
            figures[f"{name}.moved"] = float(shape["moved"][ids].mean())
            figures[f"{name}.changed"] = float((shape["moved"][ids] > 0).float().mean())
    if len(origin.new) and len(origin.old):
        norms = shape["norm"]
        figures["new.norm"] = float(norms[origin.new].mean() / norms[origin.old].mean())
    return figures


def _items(
    task: TaskRun, lang: str, gold: Counter[int], seen: Seen, written: Counter[int],
    is_new: Tensor, shape: dict[str, Tensor],
) -> list[Item]:  # fmt: skip
    """A record for every new token that is met, most frequent first."""
    met = [t for t in {*gold, *written, *seen.best} if t < len(is_new) and is_new[t]]
    tokenizer = task.encoder.tokenizer
    names, stands_for = tokenizer.convert_ids_to_tokens(met), canonical_bytes(tokenizer)
    found: list[dict[str, Any]] = []
    for token, name in zip(met, names, strict=True):
        item = {
            "lang": lang, "id": token, "piece": label_of(stands_for[token], name),
            "in_text": gold[token],
            "most_likely": seen.best[token], "written": written[token],
            **{key: float(values[token]) for key, values in shape.items()},
        }  # fmt: skip
        if seen.gold[token]:
            item["probability"] = seen.gold_probability[token] / seen.gold[token]
        found.append(item)
    return sorted(found, key=lambda item: (-item["in_text"], -item["written"], item["id"]))
