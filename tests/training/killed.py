"""A training run in a process of its own that can end itself by SIGKILL at a chosen place."""

import os
import signal
from pathlib import Path
from typing import Any

import torch

from franken.config.training import LoraConfig, OptimizerName, Trainable, TrainingConfig
from franken.training import checkpoints
from franken.training.runner import train_model
from tests.parts.encoders import KINDS, encoder_tokenizer, tiny_encoder
from tests.training.tiny import CPU, TinyData, tiny_model

STEPS = 12
CASES: dict[str, tuple[str, Trainable, dict[str, Any]]] = {
    "embeddings_accumulated": ("gemma2", Trainable.embeddings, {"accumulate": 2}),
    "lora_with_dropout": (
        "gpt2", Trainable.lora, {"lora": LoraConfig(rank=2, dropout=0.4), "accumulate": 2},
    ),
    "full_with_dropout_and_selection": (
        "gpt2", Trainable.full, {"validate_every": 2, "lr": 0.1, "weight_decay": 0.1},
    ),
    "masked_with_dropout_and_selection": (
        "xlm-roberta", Trainable.full, {"accumulate": 2, "validate_every": 4},
    ),
    "body_by_muon": ("llama", Trainable.full, {"optimizer": OptimizerName.muon}),
    "untied_in_chunks_with_warm_up_and_heads_ahead": (
        "llama", Trainable.embeddings, {"loss_chunk_tokens": 7, "warmup": 0.5, "ahead": 2},
    ),
}  # fmt: skip


def run(case: str, work_dir: str, kill_at: tuple[str, int] | None) -> None:
    """Train and write ``final.pt``; with ``kill_at`` die before.

    ``("step", n)``: after step n, before its checkpoint. ``("writing", n)``: with half of the n-th
    file on the disk. ``("sealing", n)``: with the file in place and no sidecar yet.
    """
    torch.set_num_threads(1)
    place, number = kill_at or ("", 0)
    if place in ("writing", "sealing"):
        _die_while_saving(place, number)
    family, trainable, changes = CASES[case]
    settings = TrainingConfig(
        **{
            "steps": STEPS, "batch_size": 4, "sequence_length": 16, "lr": 1e-2,
            "checkpoint_every": 3, **changes,
        }
    )  # fmt: skip
    tokenizer = encoder_tokenizer(family) if family in KINDS else None
    model = (
        tiny_model(family) if tokenizer is None
        else tiny_encoder(family, tokenizer, hidden_dropout_prob=0.1)
    )  # fmt: skip

    def at_step(point: dict[str, float]) -> None:
        if place == "step" and point["step"] == number:
            _die()

    report = train_model(
        model, tokenizer, TinyData(settings), settings, trainable, CPU,
        work_dir=Path(work_dir), seed=3, on_log=at_step,
    )  # fmt: skip
    curves = {"curve": report.curve, "validation": report.validation, "best": report.best_step}
    final = {"weights": model.state_dict(), **curves, "resumed_at": report.resumed_at}
    torch.save(final, Path(work_dir) / "final.pt")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_while_saving(place: str, number: int) -> None:
    save, calls = torch.save, 0

    def half(content: Any, handle: Any) -> None:
        nonlocal calls
        calls += 1
        save(content, handle)
        if calls == number and place == "writing":
            handle.truncate(handle.tell() // 2)
            handle.flush()
            _die()

    def seal(path: Path, value: Any) -> None:
        if calls == number and place == "sealing":
            _die()
        checkpoints_write_json(path, value)

    checkpoints_write_json = checkpoints.write_json
    checkpoints.torch.save = half  # type: ignore[assignment]
    checkpoints.write_json = seal
