"""Beam search over a batch of prompts."""

from dataclasses import dataclass

import torch
from torch import Tensor

from franken.decoding.ends import Ends
from franken.decoding.options import Decoding, Written
from franken.decoding.stepper import Stepper, too_early


@dataclass
class _Beams:
    """What is finished for one prompt, best first."""

    width: int
    done: list[tuple[float, Written]]

    def add(self, score: float, written: Written) -> None:
        self.done.append((score, written))
        self.done.sort(key=lambda item: -item[0])
        del self.done[self.width :]


@dataclass
class _Open:
    """The open hypotheses of a step: rows they continue, tokens, summed log-probabilities."""

    rows: Tensor
    tokens: Tensor
    scores: Tensor


def beam_search(stepper: Stepper, options: Decoding, ends: Ends) -> list[Written]:
    """Keeps the ``beams`` most likely open hypotheses and the best finished ones of each prompt.

    A prompt is over when its worst kept finished hypothesis beats what the best open one scores
    now (with a length penalty that may still be overtaken by a longer one; as in transformers with
    ``early_stopping=False``).
    """
    prompts, width = len(stepper.ids), options.beams
    if not options.max_new_tokens:
        return [Written([], 0.0, False) for _ in range(prompts)]
    start = stepper.ids.shape[1]
    finished = [_Beams(width, []) for _ in range(prompts)]
    over = [False] * prompts
    scores = torch.zeros(prompts, 1, device=stepper.ids.device)
    for length in range(1, options.max_new_tokens + 1):
        # every prompt is read once; its row is repeated after the first choice
        best, rows, tokens = _candidates(stepper, scores, length, options, ends)
        kept = _Open(*(torch.zeros(prompts, width, dtype=kind) for kind in _KINDS))
        kept.scores.fill_(-torch.inf)
        for prompt in range(prompts):
            found = zip(best[prompt], rows[prompt], tokens[prompt], strict=True)
            _sort_out(stepper, prompt, list(found), kept, finished, over, start, options, ends)
            done = finished[prompt].done
            open_score = kept.scores[prompt].max().item() / length**options.length_penalty
            over[prompt] |= len(done) == width and done[-1][0] >= open_score
        device = stepper.ids.device
        stepper.keep(kept.rows.flatten().to(device))
        stepper.feed(kept.tokens.flatten().to(device))
        scores = kept.scores.to(device)
        if all(over):
            break
    for prompt in range(prompts):
        if over[prompt]:
            continue
        for beam, total in enumerate(scores[prompt].tolist()):
            if total == -torch.inf:
                continue
            ids = stepper.ids[prompt * width + beam, start:].tolist()
            score = total / len(ids) ** options.length_penalty
            finished[prompt].add(score, Written(ids, total, False))
    return [beams.done[0][1] for beams in finished]


_KINDS = (torch.long, torch.long, torch.float32)


def _candidates(
    stepper: Stepper, scores: Tensor, length: int, options: Decoding, ends: Ends
) -> tuple[list[list[float]], list[list[int]], list[list[int]]]:
    """The best continuations of each prompt: totals, rows of the batch, tokens, best first.

    There are enough of them that ``beams`` are left should every end token be among them.
    """
    prompts, width = scores.shape
    wanted = max(2, 1 + len(ends.ids)) * options.beams
    values, tokens = [], []
    for _, part in stepper.log_probs(stepper.next()):
        part = too_early(part, length - 1, options, ends)
        top = part.topk(min(wanted, part.shape[1]), dim=1)
        values.append(top.values)
        tokens.append(top.indices)
    totals = (scores.view(-1, 1) + torch.cat(values)).view(prompts, -1)
    each = totals.shape[1] // width
    best, where = totals.topk(min(wanted, totals.shape[1]), dim=1)
    chosen = torch.cat(tokens).view(prompts, -1).gather(1, where)
    rows = where // each + torch.arange(prompts, device=where.device)[:, None] * width
    return best.tolist(), rows.tolist(), chosen.tolist()


def _sort_out(
    stepper: Stepper, prompt: int, found: list[tuple[float, int, int]], kept: _Open,
    finished: list[_Beams], over: list[bool], start: int, options: Decoding, ends: Ends,
) -> None:  # fmt: skip
    """Fill the open hypotheses of one prompt; note the finished ones among the best."""
    count, width = 0, options.beams
    for rank, (total, row, token) in enumerate(found):
        if total == -torch.inf or count == width:
            break
        ids = stepper.ids[row, start:].tolist()
        ended = token in ends.ids
        stopped = not ended and ends.over is not None and ends.over([*ids, token])
        if ended or stopped:
            if rank < width and not over[prompt]:
                own = ids if ended else [*ids, token]
                score = total / (len(ids) + 1) ** options.length_penalty
                finished[prompt].add(score, Written(own, total, ended, stopped))
            continue
        kept.rows[prompt, count], kept.tokens[prompt, count] = row, token
        kept.scores[prompt, count] = total
        count += 1
    kept.rows[prompt, count:] = found[0][1]
