"""Embedding tuning against full training: tokens per second and peak memory.

    python benchmarks/embedding_tuning.py [--like 2b|9b] [--steps 5]

A Gemma-2-type model in the proportions of Gemma-2-2B (the tied table is 22.5 % of the parameters)
or 9B (9.9 %), shrunk to a CPU. Arithmetic: with P parameters a token costs 6 P in full training;
embedding tuning saves the 2 P of weight gradients in the body, so the bound is
6 / (4 + 2 * table share): 1.34x for 2B, 1.43x for 9B, 1.5x without a table; the optimiser's share
comes on top. Every measurement is a process of its own through ``train_model``; methods alternate,
the quickest run of each counts. Tokens per CPU second stand beside tokens per second: on a machine
that has other work only they mean something (with one thread).
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIKE = {"2b": 0.225, "9b": 0.099}
HIDDEN, LAYERS, LENGTH = 384, 8, 256


def build(like: str):
    """The model, and the share of its table."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    shape = {
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "intermediate_size": 4 * HIDDEN,
        "num_attention_heads": 6, "num_key_value_heads": 3, "head_dim": 64,
        "sliding_window": 4096, "attn_implementation": "eager",
    }  # fmt: skip
    body = LAYERS * (3 * 4 * HIDDEN**2 + 3 * HIDDEN**2)
    vocabulary = round(body * LIKE[like] / (1 - LIKE[like]) / HIDDEN)
    return Gemma2ForCausalLM(Gemma2Config(vocab_size=vocabulary, **shape))


class RandomData:
    """Full sequences of random ids."""

    def __init__(self, vocabulary: int, rows: int, length: int = LENGTH) -> None:
        self.vocabulary, self.rows, self.length, self.count = vocabulary, rows, length, 0

    def prepare_data(self) -> None:
        """Nothing to do."""

    def setup(self, stage: str) -> None:
        """Nothing to do."""

    def train_dataloader(self):
        return self

    def val_dataloader(self) -> list:
        return []

    def __iter__(self):
        import torch

        while True:
            self.count += 1
            generator = torch.Generator().manual_seed(self.count)
            ids = torch.randint(3, self.vocabulary, (self.rows, self.length), generator=generator)
            positions = torch.arange(self.length).expand_as(ids)
            ones = torch.ones_like(ids)
            yield {
                "input_ids": ids, "labels": ids, "position_ids": positions, "segment_ids": ones,
            }  # fmt: skip

    def state_dict(self) -> dict[str, int]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.count = state["count"]


def measure(trainable: str, options: argparse.Namespace) -> None:
    """Train for some steps; prints tokens per second without the first step, and MiB."""
    from franken.config.trainer import TrainerConfig
    from franken.config.training import Trainable, TrainingConfig
    from franken.training import train_model

    model = build(options.like)
    config = TrainingConfig(
        steps=options.steps + 1, batch_size=options.batch, sequence_length=LENGTH, lr=1e-4,
        checkpoint_every=10**6, loss_chunk_tokens=256,
    )  # fmt: skip
    wall: list[float] = []
    busy: list[float] = []

    def note(_: dict[str, float]) -> None:
        wall.append(time.perf_counter())
        busy.append(time.process_time())

    with tempfile.TemporaryDirectory() as directory:
        report = train_model(
            model, None, RandomData(model.config.vocab_size, options.batch), config,
            Trainable(trainable), TrainerConfig(threads=options.threads, progress=False),
            work_dir=Path(directory), seed=0, on_log=note,
        )  # fmt: skip
    tokens = options.steps * options.batch * LENGTH
    found = {
        "tokens_per_second": tokens / (wall[-1] - wall[0]),
        "tokens_per_cpu_second": tokens / (busy[-1] - busy[0]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "all": report.all_parameters,
        "trained": report.trained_parameters,
        "table": model.get_input_embeddings().weight.numel(),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--like", choices=sorted(LIKE), default="2b")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--trainable", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trainable:
        measure(options.trainable, options)
        return
    runs: dict[str, list[dict[str, float]]] = {"full": [], "embeddings": []}
    for _ in range(options.repeats):
        for method, results in runs.items():
            command = [sys.executable, *sys.argv, "--trainable", method]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results.append(json.loads(done.stdout))
    rates = ("tokens_per_second", "tokens_per_cpu_second")
    best = {
        method: {**found[0], **{rate: max(run[rate] for run in found) for rate in rates}}
        for method, found in runs.items()
    }
    full, tuning = best["full"], best["embeddings"]
    share = full["table"] / full["all"]
    print(
        f"{full['all'] / 1e6:.1f} M parameters, {full['table'] / 1e6:.1f} M in the tied table "
        f"({share:.1%}), D = {HIDDEN}, {LAYERS} layers, {options.batch} x {LENGTH} tokens per step"
    )
    print(f"{'':>10}  {'trained':>8}  {'tokens/s':>9}  {'tokens/CPU s':>12}  {'peak MiB':>9}")
    for method, run in best.items():
        print(
            f"{method:>10}  {run['trained'] / 1e6:6.1f} M  {run[rates[0]]:9.0f}  "
            f"{run[rates[1]]:12.0f}  {run['peak']:9.0f}"
        )
    by_clock, by_cpu = (tuning[rate] / full[rate] for rate in rates)
    print(
        f"embeddings / full: {by_clock:.2f}x tokens per second, {by_cpu:.2f}x per CPU second "
        f"(matrix products alone: {6 / (4 + 2 * share):.2f}x), "
        f"{full['peak'] - tuning['peak']:.0f} MiB less"
    )


if __name__ == "__main__":
    main()
