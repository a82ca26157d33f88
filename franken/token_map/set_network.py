"""HyperOFA's network: from the vectors of the words that hold a piece to the piece's coordinates.

Özeren et al. 2025 (arXiv 2504.21018): a bidirectional LSTM reads the words in an order drawn anew
each time, half of the time only some of them; its last states go through an MLP. It is trained on
the source's pieces, whose coordinates are known, and says those of the new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.nn.utils.rnn import pack_padded_sequence


@dataclass(frozen=True)
class WordSets:
    """The words of each piece, all pieces one after the other."""

    vectors: Tensor
    """``(W, d)`` float32 vectors of all words."""
    starts: Tensor
    """``(rows + 1,)`` int64: where in ``words`` those of each piece begin, and the end."""
    words: Tensor
    """Numbers of words, the most frequent of a piece first."""

    def sizes(self) -> Tensor:
        """``(rows,)`` how many words each piece has."""
        return self.starts.diff()

    def of(self, row: int) -> Tensor:
        """Those of one piece."""
        return self.words[int(self.starts[row]) : int(self.starts[row + 1])]


@dataclass(frozen=True)
class Schedule:
    """How the network is trained."""

    epochs: int
    lr: float
    contrastive: float
    temperature: float
    batch: int = 128
    decay: float = 0.95
    """Of the learning rate, after each tenth of the epochs."""


class SetNetwork(nn.Module):
    """Reads words, says coordinates."""

    def __init__(self, width: int, hidden: int, out: int, dropout: float) -> None:
        """Args: of a word's vector, of a direction's state, of the coordinates; dropped share."""
        super().__init__()
        self.width = out
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * hidden, 2 * hidden), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(2 * hidden, out),
        )  # fmt: skip

    def forward(self, words: Tensor, sizes: Tensor) -> Tensor:
        """``(B, k)`` coordinates.

        Args:
            words: ``(B, L, d)`` vectors, zero beyond each piece's own.
            sizes: ``(B,)`` how many each has, at least one.
        """
        packed = pack_padded_sequence(words, sizes, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        made: Tensor = self.head(torch.cat([last[0], last[1]], 1))
        return made


def set_loss(found: Tensor, wanted: Tensor, *, contrastive: float, temperature: float) -> Tensor:
    """``lambda contrastive(cos / T) + (1 - lambda) L1 / mean |F|``.

    The first is the cross entropy of finding each piece's own coordinates among the batch's.

    Args:
        found: ``(B, k)``.
        wanted: ``(B, k)``.
        contrastive: lambda.
        temperature: T.
    """
    cosines = normalize(found, dim=1) @ normalize(wanted, dim=1).T
    own = torch.arange(len(found), device=found.device)
    distance = (found - wanted).abs().mean() / wanted.abs().mean().clamp(min=1e-12)
    return contrastive * cross_entropy(cosines / temperature, own) + (1 - contrastive) * distance


def train_network(
    sets: WordSets, rows: Sequence[int], wanted: Tensor, *, hidden: int, dropout: float,
    schedule: Schedule, seed: int,
) -> tuple[SetNetwork, list[float]]:  # fmt: skip
    """Train on pieces whose coordinates are known.

    Args:
        sets: words of all source pieces.
        rows: those that are learnt; each has a word.
        wanted: ``(len(rows), k)`` their coordinates, of mean absolute value near 1.
        hidden: width of the states.
        dropout: dropped share of the states.
        schedule: how.
        seed: of weights, orders and subsets.

    Returns:
        The network, ready to be asked, and the mean loss of each epoch.
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        network = SetNetwork(sets.vectors.shape[1], hidden, wanted.shape[1], dropout).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=schedule.lr)
        every = max(1, schedule.epochs // 10)
        rates = torch.optim.lr_scheduler.StepLR(optimizer, every, schedule.decay)
        losses = []
        for _ in range(schedule.epochs):
            total = 0.0
            order = torch.randperm(len(rows), generator=generator)
            for batch in order.split(schedule.batch):
                chosen = [_drawn(sets.of(rows[at]), generator) for at in batch.tolist()]
                found = network(*_padded(sets.vectors, chosen))
                loss = set_loss(
                    found, wanted[batch], contrastive=schedule.contrastive,
                    temperature=schedule.temperature,
                )  # fmt: skip
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            rates.step()
            losses.append(total / max(1, len(rows)))
    return network.eval(), losses


@torch.inference_mode()
def predicted(network: SetNetwork, sets: WordSets, rows: Sequence[int], batch: int = 512) -> Tensor:
    """``(len(rows), k)`` coordinates of pieces, from all of their words; each has one."""
    parts = [
        network(*_padded(sets.vectors, [sets.of(row) for row in rows[at : at + batch]]))
        for at in range(0, len(rows), batch)
    ]
    return torch.cat([torch.zeros(0, network.width), *parts])


def _drawn(words: Tensor, generator: torch.Generator) -> Tensor:
    """The words in another order, half of the time only some of them."""
    count = len(words)
    if torch.rand((), generator=generator) < 0.5:
        count = int(torch.randint(1, count + 1, (), generator=generator))
    return words[torch.randperm(len(words), generator=generator)[:count]]


def _padded(vectors: Tensor, chosen: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    sizes = torch.tensor([len(words) for words in chosen])
    padded = nn.utils.rnn.pad_sequence(list(chosen), batch_first=True, padding_value=-1)
    rows = vectors[padded.clamp(min=0)] * (padded >= 0)[:, :, None]
    return rows, sizes
