"""All sides of ``tuning_*``: WAY MODEL OUT, where WAY is franken, small, plain or peft.

``small`` is franken with the options that take the least memory: ``optimizer=adafactor`` and a
frozen body in bfloat16.

Random ids, the same for all; float32; AdamW. Tokens per second leave the first step out.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

way, model_dir, out = sys.argv[1:]
STEPS, ROWS, LENGTH = 4, 2, 256
wall: list[float] = []
busy: list[float] = []


def note(*_: object) -> None:
    wall.append(time.perf_counter())
    busy.append(time.process_time())


class Data:
    """Full sequences of random ids."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary, self.count = vocabulary, 0

    def prepare_data(self) -> None:
        """Nothing to do."""

    def setup(self, stage: str) -> None:
        """Nothing to do."""

    def train_dataloader(self):
        return self

    def val_dataloader(self) -> list:
        return []

    def __iter__(self):
        while True:
            self.count += 1
            draw = torch.Generator().manual_seed(self.count)
            ids = torch.randint(3, self.vocabulary, (ROWS, LENGTH), generator=draw)
            places = torch.arange(LENGTH).expand_as(ids)
            yield {"input_ids": ids, "labels": ids, "position_ids": places,
                   "segment_ids": torch.ones_like(ids)}  # fmt: skip

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
data = Data(model.config.vocab_size)
losses: list[float] = []
if way in ("franken", "small"):
    from franken.config.trainer import TrainerConfig
    from franken.config.training import Trainable, TrainingConfig
    from franken.training import train_model

    def logged(values: dict[str, float]) -> None:
        note()
        losses.extend(v for k, v in values.items() if k.endswith("loss"))

    options = {"optimizer": "adafactor", "body_dtype": "bfloat16"} if way == "small" else {}
    config = TrainingConfig(
        steps=STEPS + 1, batch_size=ROWS, sequence_length=LENGTH, lr=1e-4,
        checkpoint_every=10**6, loss_chunk_tokens=128, **options,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        trainer = TrainerConfig(threads=torch.get_num_threads(), progress=False)
        train_model(
            model, None, data, config, Trainable.embeddings, trainer,
            work_dir=Path(directory), seed=0, on_log=logged,
        )  # fmt: skip
else:
    if way == "peft":
        from peft import LoraConfig, TaskType, get_peft_model

        rows = list(range(model.config.vocab_size))
        adapter = LoraConfig(
            task_type=TaskType.CAUSAL_LM, r=1, target_modules=["model.layers.0.mlp.gate_proj"],
            trainable_token_indices={"embed_tokens": rows},
        )  # fmt: skip
        model = get_peft_model(model, adapter)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    model.train()
    for _, batch in zip(range(STEPS + 1), data, strict=False):
        batch.pop("segment_ids")
        loss = model(**batch).loss
        losses.append(float(loss))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        note()
tokens = STEPS * ROWS * LENGTH
Path(out).write_text(json.dumps({
    "seconds per 1,000 tokens": (wall[-1] - wall[0]) / tokens * 1e3,
    "processor seconds per 1,000 tokens": (busy[-1] - busy[0]) / tokens * 1e3,
    "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    "first loss": losses[0],
}))  # fmt: skip
