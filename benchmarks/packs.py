"""What packs of one tuning take and lose: bytes, CPU time, and the loss on the skill's own text.

``python benchmarks/packs.py BASE TUNED TEST.tsv ultradelta phlora,pack.budget.target=0.018 ...``:
each further argument is a policy with its overrides. TEST has the columns ``text`` and
``category`` (SIB-200); the loss is that of the right topic after its sentence, in bits per byte of
the topic, with the standard error over sentences.
"""

import csv
import math
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.parts.skillpack import SkillPack
from franken.parts.weights import StoredWeights
from franken.skillpack.__main__ import read_policy
from franken.skillpack.extract import pack_difference

PROMPT = "{text}\nThe topic of this text is"


def main(base: str, tuned: str, test: str, *policies: str) -> None:
    """Print a line for each model."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    with open(test, encoding="utf-8") as lines:
        examples = [(row["text"], row["category"]) for row in csv.DictReader(lines, delimiter="\t")]
    for name in (base, tuned):
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
        report(name, *loss(model, tokenizer, examples))
    weights = StoredWeights.of_checkpoint(Path(base)), StoredWeights.of_checkpoint(Path(tuned))
    for text in policies:
        policy = read_policy([f"pack={text.split(',')[0]}", *text.split(",")[1:]])
        with tempfile.TemporaryDirectory() as scratch:
            start = time.process_time()
            pack = pack_difference(*weights, policy, Path(scratch) / "pack", name=text)
            taken = time.process_time() - start
            model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            put_on(model, pack)
            size = f"{pack.bytes_count / 1e6:.2f} MB, relative error {pack.manifest['relF']:.3f}"
            report(text, *loss(model, tokenizer, examples), f"{size}, {taken:.0f} CPU s")


def put_on(model: torch.nn.Module, pack: SkillPack) -> None:
    """Add a pack's changes to the weights."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in pack.names():
            parameters[name] += pack.delta(name)


@torch.inference_mode()
def loss(
    model: torch.nn.Module, tokenizer: object, examples: Iterable[tuple[str, str]]
) -> tuple[float, float]:
    """Mean bits per byte of the answers, and its standard error."""
    found = []
    for text, answer in examples:
        prompt = tokenizer(PROMPT.format(text=text)).input_ids  # type: ignore[operator]
        target = tokenizer(f" {answer}", add_special_tokens=False).input_ids  # type: ignore[operator]
        logits = model(torch.tensor([prompt + target])).logits[0, len(prompt) - 1 : -1]
        nats = torch.nn.functional.cross_entropy(logits, torch.tensor(target), reduction="sum")
        found.append(float(nats) / math.log(2) / len(f" {answer}".encode()))
    values = torch.tensor(found, dtype=torch.float64)
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def report(name: str, value: float, error: float, size: str = "") -> None:
    """One line."""
    print(f"{name}: {value:.4f} +- {error:.4f} bits per byte of the topic  {size}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
