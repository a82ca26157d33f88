"""Tiny models and a tiny data module that owns its position."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import (
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    XGLMConfig,
)
from transformers.models.auto import AutoModelForCausalLM

from franken.config.trainer import TrainerConfig
from franken.config.training import TrainingConfig

VOCABULARY = 48
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
    "head_dim": 8,
}
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def tiny_config(family: str, **changes: Any) -> PreTrainedConfig:
    """A three-layer config of a family."""
    gpt2 = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
    neox = {k: v for k, v in SHAPE.items() if k not in ("num_key_value_heads", "head_dim")}
    xglm = {
        "vocab_size": VOCABULARY, "d_model": 16, "ffn_dim": 24, "num_layers": 3,
        "attention_heads": 2, "max_position_embeddings": 64,
    }  # fmt: skip
    plain = {k: v for k, v in SHAPE.items() if k != "head_dim"}
    known: dict[str, tuple[Any, dict[str, Any]]] = {
        "gemma2": (Gemma2Config, {**SHAPE, "attn_implementation": "eager"}),
        "gemma3_text": (Gemma3TextConfig, SHAPE),
        "llama": (LlamaConfig, {**SHAPE, "tie_word_embeddings": False}),
        "mistral": (MistralConfig, SHAPE),
        "qwen2": (Qwen2Config, plain),
        "cohere": (CohereConfig, plain),
        "gpt2": (GPT2Config, gpt2),
        "gpt_neox": (GPTNeoXConfig, neox),
        "xglm": (XGLMConfig, xglm),
    }
    cls, values = known[family]
    return cls(**{**values, **IDS, **changes})


def tiny_model(family: str = "gemma2", **changes: Any) -> PreTrainedModel:
    """Random weights, equal at every call."""
    config = tiny_config(family, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        attention = getattr(config, "_attn_implementation", None)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        with torch.no_grad():
            for parameter in model.parameters():  # sizes at which every effect is visible
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


class TinyLoader:
    """Batches drawn from (seed, position); rounds of ``length`` batches."""

    def __init__(self, rows: int, width: int, length: int, seed: int) -> None:
        self.rows, self.width, self.length, self.seed = rows, width, length, seed
        self.position = 0

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for _ in range(self.length - self.position % self.length):
            self.position += 1
            yield packed_batch(self.rows, self.width, seed=self.seed * 10_000 + self.position)

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.position = state["position"]


def packed_batch(rows: int, width: int, *, seed: int) -> dict[str, Tensor]:
    """Two documents and two places of padding per row; a learnable rule (next id = id + 1)."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randint(0, VOCABULARY - 3, (rows, 1), generator=generator)
    ids = 3 + (start + torch.arange(width)) % (VOCABULARY - 3)
    cut = int(torch.randint(2, width - 4, (1,), generator=generator))
    segments = torch.ones(rows, width, dtype=torch.long)
    segments[:, cut:] = 2
    segments[:, -2:] = 0
    positions = torch.arange(width).expand(rows, width).clone()
    positions[:, cut:] -= cut
    positions[:, -2:] = 0
    ids[:, cut] = 1
    ids[:, -2:] = 0
    labels = ids.masked_fill(segments == 0, -100)
    labels[:, cut] = -100
    return {
        "input_ids": ids, "labels": labels, "position_ids": positions, "segment_ids": segments,
    }  # fmt: skip


class TinyData:
    """The data module's contract, without text."""

    def __init__(
        self, config: TrainingConfig, *, seed: int = 1, length: int = 7, validation: bool = True
    ) -> None:
        rows = config.batch_size // config.accumulate
        self.loader = TinyLoader(rows, config.sequence_length, length, seed)
        self.rows, self.width, self.validation = rows, config.sequence_length, validation

    def prepare_data(self) -> None:
        pass

    def setup(self, stage: str | None = None) -> None:
        pass

    def train_dataloader(self) -> TinyLoader:
        return self.loader

    def val_dataloader(self) -> list[dict[str, Tensor]]:
        if not self.validation:
            return []
        return [packed_batch(self.rows, self.width, seed=seed) for seed in (-1, -2)]

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


CPU = TrainerConfig(threads=1, progress=False)
"""One thread, no bar."""
