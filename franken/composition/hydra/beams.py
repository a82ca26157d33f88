"""Beam search over a batch of prompts."""

from dataclasses import dataclass

import torch

from franken.composition.hydra.decoding_step import Decoding, Stepper, Written, too_early


@dataclass
class _Beams:
    """What is finished for one prompt, best first."""

    width: int
    done: list[tuple[float, Written]]

    def add(self, score: float, written: Written) -> None:
        self.done.append((score, written))
        self.done.sort(key=lambda item: -item[0])
        del self.done[self.width :]


def beam_search(stepper: Stepper, options: Decoding, end: int | None) -> list[Written]:
    """Keeps the ``beams`` most likely open hypotheses and the best finished ones of each prompt.

    A prompt is over when its worst kept finished hypothesis beats what the best open one scores
    now (with a length penalty that may still be overtaken by a longer one; as in transformers with
    ``early_stopping=False``).
    """
    prompts, width = len(stepper.ids), options.beams
    if not options.max_new_tokens:
        return [Written([], 0.0, False) for _ in range(prompts)]
    device = stepper.ids.device
    start = stepper.ids.shape[1]
    finished = [_Beams(width, []) for _ in range(prompts)]
    over = [False] * prompts
    values = stepper.next()  # every prompt is read once, then its row is repeated
    repeated = torch.arange(prompts, device=device).repeat_interleave(width)
    values = values[repeated]
    stepper.keep(repeated)
    scores = torch.full((prompts, width), -torch.inf, device=device)
    scores[:, 0] = 0.0
    for length in range(1, options.max_new_tokens + 1):
        values = too_early(stepper.next() if length > 1 else values, length - 1, options, end)
        size = values.shape[1]
        totals = (scores.view(-1, 1) + values).view(prompts, width * size)
        best, where = totals.topk(min(2 * width, totals.shape[1]), dim=1)
        rows = torch.zeros(prompts, width, dtype=torch.long, device=device)
        tokens = torch.zeros_like(rows)
        scores = torch.full_like(scores, -torch.inf)
        for prompt in range(prompts):
            kept = 0
            for rank, (total, place) in enumerate(
                zip(best[prompt].tolist(), where[prompt].tolist(), strict=True)
            ):
                row, token = prompt * width + place // size, place % size
                if total == -torch.inf or kept == width:
                    break
                if token == end:
                    if rank < width and not over[prompt]:
                        ids = stepper.ids[row, start:].tolist()
                        score = total / length**options.length_penalty
                        finished[prompt].add(score, Written(ids, total, True))
                    continue
                rows[prompt, kept], tokens[prompt, kept] = row, token
                scores[prompt, kept] = total
                kept += 1
            rows[prompt, kept:] = prompt * width
            done = finished[prompt].done
            open_score = scores[prompt].max().item() / length**options.length_penalty
            over[prompt] |= len(done) == width and done[-1][0] >= open_score
        stepper.keep(rows.flatten())
        stepper.feed(tokens.flatten())
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
