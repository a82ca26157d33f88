"""Dynamic masking: which tokens of a batch are hidden, drawn anew each time, by a seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from franken.config.training import MaskingConfig
from franken.errors import CompatibilityError
from franken.parts.special_rows import control_ids
from franken.tokenizer.pieces import canonical_bytes
from franken.training.batches import Batch
from franken.training.loss import IGNORED


@dataclass(frozen=True)
class TokenMasker:
    """Hides tokens of batches (Devlin et al., 2019): mask, random token, or left as it is."""

    config: MaskingConfig
    mask_id: int
    text_ids: Tensor
    """Ids of tokens that are text: only they are hidden, and only they stand in for others."""
    is_text: Tensor
    """``(V,)`` bool."""
    begins_word: Tensor
    """``(V,)`` bool: whether a token begins with a space."""

    @classmethod
    def of(cls, tokenizer: Any, config: MaskingConfig) -> "TokenMasker":
        """Read a tokenizer.

        Raises:
            CompatibilityError: where it has no mask token.
        """
        if tokenizer is None or tokenizer.mask_token_id is None:
            raise CompatibilityError(
                "a masked language model hides tokens behind the tokenizer's mask token, and this "
                "tokenizer has none; give one with mask_token set"
            )
        known = canonical_bytes(tokenizer)
        control = set(control_ids(tokenizer).values())
        text = [data is not None and index not in control for index, data in enumerate(known)]
        begins = [data is None or data[:1].isspace() for data in known]
        is_text = torch.tensor(text)
        return cls(
            config, tokenizer.mask_token_id, is_text.nonzero().flatten(), is_text,
            torch.tensor(begins),
        )  # fmt: skip

    def hide(self, batch: Batch, seed: int) -> Batch:
        """A batch some of whose tokens are hidden; ``labels`` are those of hidden places alone.

        Args:
            batch: ``input_ids``, ``labels`` (-100: never hidden), ``segment_ids``; all ``(B, L)``.
            seed: equal seeds hide equally.
        """
        ids, segments = batch["input_ids"], batch["segment_ids"]
        free = (batch["labels"] != IGNORED) & self.is_text.to(ids.device)[ids]
        numbers = np.random.default_rng(seed)
        if self.config.whole_words:
            words = self._words(ids, segments)
            drawn = numbers.random(int(words.max()) + 1)[words.cpu().numpy()]
        else:
            drawn = numbers.random(tuple(ids.shape))
        chosen = free & torch.from_numpy(drawn < self.config.rate).to(ids.device)
        fate = torch.from_numpy(numbers.random(tuple(ids.shape))).to(ids.device)
        others = torch.from_numpy(numbers.integers(len(self.text_ids), size=tuple(ids.shape)))
        masked = chosen & (fate < self.config.masked)
        swapped = chosen & ~masked & (fate < self.config.masked + self.config.random)
        hidden = torch.where(masked, self.mask_id, ids)
        hidden = torch.where(swapped, self.text_ids[others].to(ids.device), hidden)
        labels = torch.where(chosen, ids, IGNORED)
        return {**batch, "input_ids": hidden, "labels": labels, "hidden": True}

    def _words(self, ids: Tensor, segments: Tensor) -> Tensor:
        """Number of the word that each token belongs to, over the whole batch."""
        begins = self.begins_word.to(ids.device)[ids]
        begins[:, 0] = True
        begins[:, 1:] |= segments[:, 1:] != segments[:, :-1]
        # what follows a control token begins a word, whatever its spelling
        begins[:, 1:] |= ~self.is_text.to(ids.device)[ids[:, :-1]]
        return begins.flatten().cumsum(0).view_as(ids) - 1
