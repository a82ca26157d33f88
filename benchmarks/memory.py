"""Memory of trainings against the formula of ``franken/estimate.py``.

    python benchmarks/memory.py [--steps 2]

Llama-type models of a few sizes through ``train_model``, each in a process of its own, one thread,
float32: anonymous memory at most above that after the imports, against the estimate.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.embedding_tuning import LENGTH, RandomData

SIZES = {"S": (256, 4, 4_000), "M": (512, 8, 16_000), "L": (1024, 8, 32_000)}


def config_of(size: str):
    """A Llama of this size, tied."""
    from transformers import LlamaConfig

    width, layers, rows = SIZES[size]
    return LlamaConfig(
        vocab_size=rows, hidden_size=width, num_hidden_layers=layers, intermediate_size=4 * width,
        num_attention_heads=width // 64, num_key_value_heads=width // 128,
        tie_word_embeddings=True,
    )  # fmt: skip


def measure(size: str, trainable: str, batch: int, steps: int) -> None:
    from transformers import LlamaForCausalLM

    from franken.config.trainer import TrainerConfig
    from franken.config.training import Trainable, TrainingConfig
    from franken.estimate import Shape, estimate
    from franken.training import train_model

    before, peak, done = anonymous(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous())

    threading.Thread(target=watch, daemon=True).start()
    model = LlamaForCausalLM(config_of(size))
    training = TrainingConfig(
        steps=steps, batch_size=batch, sequence_length=LENGTH, lr=1e-4, checkpoint_every=10**6,
        loss_chunk_tokens=256,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        train_model(
            model, None, RandomData(model.config.vocab_size, batch), training,
            Trainable(trainable), TrainerConfig(threads=1, progress=False),
            work_dir=Path(directory), seed=0,
        )  # fmt: skip
    done.set()
    found = estimate(Shape.of_config(model.config), Trainable(trainable), training)
    print(json.dumps({"measured": peak[0] - before, "estimated": found.peak}))


def anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--sizes", default="S,M,L")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        size, trainable, batch = options.run
        measure(size, trainable, int(batch), options.steps)
        return
    for size in options.sizes.split(","):
        for trainable in ("embeddings", "lora", "full"):
            for batch in (2, 8):
                command = [sys.executable, __file__, "--steps", str(options.steps)]
                command += ["--run", size, trainable, str(batch)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                ratio = found["measured"] / found["estimated"]
                print(
                    f"{size}  {trainable:<11} {batch} x {LENGTH}: {found['measured'] / 1e6:6.0f} MB"
                    f" measured, {found['estimated'] / 1e6:6.0f} MB estimated, {ratio:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
