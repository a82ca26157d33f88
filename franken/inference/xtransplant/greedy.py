"""Greedy continuation of a batch of rows: choice of tokens, margins, ends."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from franken.inference.xtransplant.contract import Decoding, Pair, Runs, Task


class Rows:
    """New tokens of R rows, and which of them go on.

    Rows are addressed by their index from 0 to R - 1 throughout; engines that drop finished rows
    pass ``alive`` to say which ones the logits belong to.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        decoding: Decoding,
        device: torch.device,
        *,
        keep_logits: bool = False,
        choose: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """One task per row; rows of a grid share one.

        ``choose`` maps ``(R, V)`` logits to tokens; default the largest.
        """
        self.count = count = len(tasks)
        self.tasks, self.decoding, self.device = tasks, decoding, device
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.margins = torch.full((count, decoding.max_new_tokens), torch.inf)
        self.done = [False] * count
        self.solved = False
        self.first_logits: Tensor | None = None
        self.watched: Tensor | None = None
        self._keep = keep_logits
        self._seen: Tensor | None = None
        self._choose = choose or (lambda logits: logits.argmax(dim=-1))

    def push(self, logits: Tensor, alive: Sequence[int] | None = None) -> Tensor:
        """Take the next token of each row from ``(A, V)`` logits.

        Returns:
            ``(A,)`` tokens; of finished rows the values mean nothing.
        """
        alive = range(self.count) if alive is None else alive
        step = max((len(self.tokens[row]) for row in alive), default=0)
        if step == 0:
            self.first_logits = logits.cpu() if self._keep else None
        self._look(logits, alive)
        logits = self._penalised(logits, alive)
        best = logits.topk(2, dim=-1).values
        chosen = self._led(self._choose(logits), alive)
        gaps = (best[:, 0] - best[:, 1]).tolist()
        for row, token, gap in zip(alive, chosen.tolist(), gaps, strict=True):
            if not self.done[row]:
                self.margins[row, len(self.tokens[row])] = gap
                self.tokens[row].append(token)
                self._close(row, token)
        return chosen

    def _close(self, row: int, token: int) -> None:
        task, own = self.tasks[row], self.tokens[row]
        self.done[row] = (
            token in self.decoding.stop_ids
            or len(own) >= self.decoding.max_new_tokens
            or bool(task.decided and task.decided(own))
        )
        if self.done[row] and task.solved is not None:
            self.solved = self.solved or task.solved(own)

    def _led(self, chosen: Tensor, alive: Sequence[int]) -> Tensor:
        """The tokens of the leads where those are not written yet, else the chosen ones."""
        if not self.decoding.leads:
            return chosen
        given = [self.tasks[row].lead[len(self.tokens[row]) :][:1] for row in alive]
        both = zip(given, chosen.tolist(), strict=True)
        return torch.tensor([[*lead, own][0] for lead, own in both], device=chosen.device)

    def _look(self, logits: Tensor, alive: Sequence[int]) -> None:
        """Note the watched logits of the rows that stand behind their lead."""
        due = [
            (at, row)
            for at, row in enumerate(alive)
            if self.tasks[row].watch
            and not self.done[row]
            and len(self.tokens[row]) == len(self.tasks[row].lead)
            and (self.decoding.leads or not self.tasks[row].lead)
        ]
        if not due:
            return
        if self.watched is None:
            width = max(len(task.watch) for task in self.tasks)
            self.watched = torch.full((self.count, width), torch.nan)
        width = self.watched.shape[1]
        watch = [self.tasks[row].watch for _, row in due]
        ids = torch.tensor([[*own, *[-1] * (width - len(own))] for own in watch])
        places = torch.tensor([at for at, _ in due], device=logits.device)
        found = logits[places].cpu().gather(1, ids.clamp(min=0)).float()
        self.watched[[row for _, row in due]] = found.masked_fill(ids < 0, torch.nan)

    def _penalised(self, logits: Tensor, alive: Sequence[int]) -> Tensor:
        penalty = self.decoding.repetition_penalty
        if penalty == 1.0:
            return logits
        if self._seen is None:
            self._seen = torch.zeros(self.count, logits.shape[-1], dtype=torch.bool)
            for row, task in enumerate(self.tasks):
                self._seen[row, task.target.cpu()] = True
        for row in alive:
            self._seen[row, self.tokens[row]] = True
        seen = self._seen[list(alive)].to(logits.device)
        return torch.where(
            seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits
        )

    def going(self, alive: Sequence[int] | None = None) -> list[int]:
        """Rows that are not finished; none once the sample is solved."""
        rows = range(self.count) if alive is None else alive
        return [] if self.solved else [row for row in rows if not self.done[row]]

    def runs(self, pairs: Sequence[Pair], of: Sequence[int], layer_tokens: int) -> Runs:
        """The result, with pair number ``n`` answered by row ``of[n]``."""
        index = torch.tensor(list(of), dtype=torch.long)
        return Runs(
            list(pairs),
            [self.tokens[row] for row in of],
            self.margins[index],
            None if self.first_logits is None else self.first_logits[index],
            None if self.watched is None else self.watched[index],
            layer_tokens,
            self.count,
            self.solved and not all(self.done),
            [self.done[row] for row in of],
        )
