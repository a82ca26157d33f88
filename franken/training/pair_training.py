"""Steps of a training phase that learn from sentence pairs.

Which pairs a step reads follows from its number alone, so a resumed run needs no position; the
reference's states are those of the weights that training starts from, so they are found again.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.config.trainer import TrainerConfig
from franken.data.sentence_pairs import PairRows
from franken.errors import ConfigError
from franken.pair_loss.base import PairLoss, PairStates, Pooling, pair_clash
from franken.parts.anatomy import anatomy_of, text_config
from franken.parts.segmented import segmented
from franken.training.batches import Batch, to_device
from franken.training.callbacks import evaluating
from franken.training.layer_states import layer_number, pooled, sentence_states, states_behind

MARK = "franken_pair_parts"
"""Name of a loss's own weights inside a model that trains with them."""


@dataclass
class PairTraining:
    """A loss, the pairs that it reads, and whose states it compares with.

    Attributes:
        option: the loss.
        rows: pairs as the model in training reads them.
        reference: another model and the same pairs as it reads them; ``None``: the model itself as
            training begins.
    """

    option: PairLoss
    rows: PairRows
    reference: tuple[PreTrainedModel, PairRows] | None = None
    _kept: tuple[Tensor, Tensor] | None = field(default=None, init=False, repr=False)
    _prepared: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False)

    # --- which steps ---------------------------------------------------------------------------

    @property
    def alone(self) -> bool:
        """Whether such a step reads no text."""
        return self.option.alternate

    def due(self, step: int) -> bool:
        """Whether the step of this number, from 0, reads pairs."""
        return (step + 1) % self.option.every == 0

    def parts_of(self, step: int, accumulate: int) -> list[Batch]:
        """The pairs of the forward passes of a step that is due."""
        first = (step + 1) // self.option.every - 1
        numbers = (first * accumulate + part for part in range(accumulate))
        return [self.rows.batch_of(self.rows.numbers(number)) for number in numbers]

    # --- before the first step -----------------------------------------------------------------

    def refuse(self, model: PreTrainedModel, trainer: TrainerConfig) -> None:
        """Raise where pairs cannot be read.

        Raises:
            ConfigError: for several processes, shards, layers in CPU memory, compiled bodies,
                models with several tables, and the first token of causal ones.
        """
        if self.option.pooling is Pooling.first and not anatomy_of(model.config).masked:
            raise ConfigError(
                "pair_loss.pooling=first compares the state of the first token, which in a causal "
                "model has read nothing else; set it to mean or last"
            )
        several = "models with one table" if segmented(model) is not None else None
        if what := pair_clash(trainer) or several:
            raise ConfigError(f"pair_loss={self.option.name} is there for {what} alone")

    def add_parts(self, model: PreTrainedModel, seed: int) -> None:
        """Give the model the loss's own weights, which train along."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            parts = self.option.parts(int(text_config(model.config).hidden_size))
        if parts is not None:
            model.add_module(MARK, parts.to(model.device))

    def begin(self, model: PreTrainedModel, device: str) -> None:
        """Read the reference's states of all pairs, and try the loss on one batch.

        Raises:
            ConfigError: where nothing that trains acts on the states that are compared.
        """
        if self.option.asks_reference:
            kept = self._states_of_all(*(self.reference or (model, self.rows)), device)
            self._kept, self.reference = kept, None  # another model's memory is free again
            languages = torch.tensor([s.language for s in self.rows.sentences])
            self._prepared = self.option.prepare(*kept, languages)
        count = min(2, len(self.rows))
        if not self.states(model, self.rows.batch_of(range(count))).second.requires_grad:
            raise ConfigError(
                f"pair_loss.layer={self.option.layer}: nothing that trains acts on the output of "
                "this layer, so the loss changes nothing; raise it, or let more of the model train"
            )

    def content(self) -> dict[str, Any]:
        """What decides the result: for the identity of a run."""
        return {"option": asdict(self.option), "rows": self.rows.fingerprint()}

    # --- in a step -----------------------------------------------------------------------------

    def terms(
        self, model: PreTrainedModel, batch: Batch, *, narrow: bool = False
    ) -> dict[str, Tensor]:
        """The loss's terms for a batch of pairs, weighted; ``narrow``: the body is in bfloat16."""
        states = self.states(model, batch, narrow=narrow)
        prepared = {key: value.to(states.first.device) for key, value in self._prepared.items()}
        found = self.option.loss(states, prepared, getattr(model, MARK, None))
        return {name: self.option.weight * term for name, term in found.items()}

    def states(self, model: PreTrainedModel, batch: Batch, *, narrow: bool = False) -> PairStates:
        """Pooled states of both sides of a batch of pairs."""
        first, second = self._pooled(model, batch, narrow)
        kept = (first.new_zeros(0), first.new_zeros(0))
        if self._kept is not None:
            numbers = batch["numbers"].to(self._kept[0].device)
            kept = (self._kept[0][numbers].to(first), self._kept[1][numbers].to(first))
        return PairStates(first, second, batch["languages"], *kept)

    def _pooled(self, model: PreTrainedModel, batch: Batch, narrow: bool) -> tuple[Tensor, Tensor]:
        layers: list[nn.Module] = []
        if path := anatomy_of(model.config).layers:
            layers = list(model.get_submodule(path).children())
        number = layer_number(self.option.layer, len(layers))
        states = states_behind(layers, number, lambda: sentence_states(model, batch, narrow=narrow))
        both = pooled(states, batch["segment_ids"], batch["control_ids"], self.option.pooling)
        if len(both) == len(batch["numbers"]):  # a sentence is both sides
            return both, both
        first, second = both.chunk(2)
        return first, second

    @torch.no_grad()
    def _states_of_all(
        self, model: PreTrainedModel, rows: PairRows, device: str
    ) -> tuple[Tensor, Tensor]:
        """``(N, D)`` of either side, on the CPU, without dropout."""
        found: list[tuple[Tensor, Tensor]] = []
        place, home = torch.device(device), model.device
        narrow = model.get_input_embeddings().weight.dtype == torch.bfloat16
        module: Any = model
        with evaluating(model):
            module.to(place)
            for batch in rows.in_turn():
                first, second = self._pooled(model, to_device(batch, place), narrow)
                found.append((first.cpu(), second.cpu()))
            module.to(home)
        first_sides, second_sides = zip(*found, strict=True)
        return torch.cat(first_sides), torch.cat(second_sides)


def take_off_parts(model: PreTrainedModel) -> None:
    """Undo :meth:`PairTraining.add_parts`."""
    if hasattr(model, MARK):
        delattr(model, MARK)
