"""The whole N x N grid of one sample: wavefront and cache against naive, in one run.

    python benchmarks/xtransplant.py          # 12 layers, prompt 300, 20 new tokens
    python benchmarks/xtransplant.py --layers 4 --prompt 40 --tokens 5 --repeats 1
    python benchmarks/xtransplant.py --device cuda --shape 7b --dtype bfloat16 --skip-naive

A random Llama with grouped queries. Every engine answers the same sample; tokens are compared,
layer tokens set beside the closed forms, and the wavefront's peak memory beside what its key-value
slots, prefix, scores and logits come to. The cost for the shapes of a 7B model is projected. Other
tokens than naive's in float32 (in bfloat16 near ties part), layer tokens off the formula, or half
as much memory again as predicted end it with an error; speed is only reported.
"""

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from franken.inference.xtransplant import (
    Decoding,
    Donor,
    Host,
    Intervention,
    Options,
    Runs,
    Task,
    open_host,
    pair_set,
)
from franken.transplant_engine.base import engine_of

MIB = 2**20
MEMORY_SLACK = 1.5
"""The wavefront may take so many times the memory that is predicted."""
NOISE = 16 * MIB
"""What allocators may keep beside."""
SHAPES = {
    "small": {"hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 8,
              "num_key_value_heads": 4, "vocab_size": 2048},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32,
           "num_key_value_heads": 32, "vocab_size": 32000},
}  # fmt: skip
LLAMA_7B = {"layers": 32, "layer_parameters": 202_375_168, "head_parameters": 131_072_000}


@dataclass
class Measured:
    """One engine on one sample."""

    seconds: float
    peak_bytes: int
    runs: Runs


class PeakMemory:
    """Highest memory above that at entry: allocated on a GPU, resident on Linux."""

    def __init__(self, device: str) -> None:
        self.cuda, self.peak = device.startswith("cuda"), 0

    def __enter__(self) -> "PeakMemory":
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self.start = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _now(self) -> int:
        if self.cuda:
            return int(torch.cuda.memory_allocated())
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self.peak = max(self.peak, self._now() - self.start)

    def __exit__(self, *exception: Any) -> None:
        self._stop.set()
        self._thread.join()
        if self.cuda:
            torch.cuda.synchronize()
            self.peak = int(torch.cuda.max_memory_allocated()) - self.start


def private_cache_bytes(
    rows: int, slots: int, layers: int, kv_heads: int, head_dim: int, item_bytes: int
) -> int:
    """Keys and values of the rows' own positions, as ``wavefront`` holds them."""
    return rows * slots * layers * 2 * kv_heads * head_dim * item_bytes


def prefix_cache_bytes(
    tokens: int, layers: int, kv_heads: int, head_dim: int, item_bytes: int
) -> int:
    """Keys and values of one prompt."""
    return private_cache_bytes(1, tokens, layers, kv_heads, head_dim, item_bytes)


def grid_flop(
    layer_tokens: int, layer_parameters: int, head_parameters: int, logit_rows: int
) -> float:
    """Multiply-adds counted as two, without attention scores."""
    return 2.0 * layer_tokens * layer_parameters + 2.0 * logit_rows * head_parameters


def random_host(arguments: argparse.Namespace) -> Host:
    """A random Llama; norms at one, matrices of usual size."""
    torch.manual_seed(0)
    config = LlamaConfig(
        num_hidden_layers=arguments.layers,
        max_position_embeddings=arguments.prompt + arguments.tokens + 8,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=None, pad_token_id=None,
        initializer_range=0.06 if arguments.shape == "small" else 0.02, **SHAPES[arguments.shape],
    )  # fmt: skip
    with torch.device(arguments.device):
        torch.set_default_dtype(getattr(torch, arguments.dtype))
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    return open_host(model.eval())


def measured(make: Callable[[], Runs], device: str, repeats: int) -> Measured:
    """The fastest of some repeats."""
    best: Measured | None = None
    for _ in range(repeats):
        with PeakMemory(device) as memory:
            started = time.perf_counter()
            runs = make()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds = time.perf_counter() - started
        if best is None or seconds < best.seconds:
            best = Measured(seconds, memory.peak, runs)
    assert best is not None
    return best


def predicted_bytes(host: Host, prompt: int, tokens: int) -> int:
    """Key-value slots of all rows, the prefix, and the larger of one layer's scores and logits.

    Scores are float32 with two copies (soft-max), logits with one.
    """
    config, rows = host.config, host.depth**2
    item = next(host.model.parameters()).element_size()
    width = config.hidden_size // config.num_attention_heads
    shape = (config.num_hidden_layers, config.num_key_value_heads, width, item)
    logits = 2 * 4 * rows * config.vocab_size
    scores = 3 * 4 * rows * config.num_attention_heads * (prompt + tokens)
    held = private_cache_bytes(rows, tokens, *shape) + prefix_cache_bytes(prompt, *shape)
    return held + max(logits, scores)


def compare(arguments: argparse.Namespace) -> list[str]:
    """Run every engine, print what was found, and return what is wrong."""
    faults: list[str] = []
    host = random_host(arguments)
    generator = torch.Generator().manual_seed(1)
    vocabulary = SHAPES[arguments.shape]["vocab_size"]
    target, donor = (
        torch.randint(3, vocabulary, (arguments.prompt,), generator=generator) for _ in range(2)
    )
    task, decoding = Task(target, Donor(donor)), Decoding(arguments.tokens)
    pairs, plain = pair_set("grid", host.depth), Options(share=False)
    sizes = (host.depth, arguments.prompt, arguments.tokens)
    print(f"{host.depth} layers, prompt {arguments.prompt}, {arguments.tokens} new tokens, "
          f"{len(pairs)} pairs, {arguments.dtype} on {arguments.device}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    engines = ["wavefront", "cache"]
    engines += [] if arguments.skip_naive else ["naive"]
    found: dict[str, Measured] = {}
    with torch.inference_mode():  # what the libraries allocate once is no cost of an engine
        engine_of("wavefront").run(host, Task(target[:8], Donor(donor[:8])), pairs[:2],
                                  Intervention(), Decoding(2), plain)  # fmt: skip
    for engine in engines:
        repeats = 1 if engine == "naive" else arguments.repeats

        def run(engine: str = engine) -> Runs:
            with torch.inference_mode():
                return engine_of(engine).run(host, task, pairs, Intervention(), decoding, plain)

        found[engine] = measured(run, arguments.device, repeats)
        runs = found[engine].runs
        formula = engine_of(engine).grid_layer_tokens(*sizes)
        right = runs.layer_tokens == formula
        if not right:
            faults.append(f"{engine}: {runs.layer_tokens:,} layer tokens, not {formula:,}")
        print(f"  {engine:<10} {found[engine].seconds:9.2f} s   {runs.layer_tokens:>12,} layer "
              f"tokens ({'=' if right else 'not the'} formula)   peak "
              f"{found[engine].peak_bytes / MIB:8.1f} MiB")  # fmt: skip
    predicted = predicted_bytes(host, arguments.prompt, arguments.tokens)
    peak = found["wavefront"].peak_bytes
    print(f"  wavefront's memory: predicted {predicted / MIB:.1f} MiB (slots, prefix, scores, "
          f"logits), found {peak / MIB:.1f} MiB")  # fmt: skip
    if peak > max(MEMORY_SLACK * predicted, predicted + NOISE):
        faults.append(f"wavefront took {peak / predicted:.2f} times the memory predicted")
    oracle = found[engines[-1]]
    for engine in engines[:-1]:
        same = sum(a == b for a, b in zip(found[engine].runs.tokens, oracle.runs.tokens,
                                          strict=True))  # fmt: skip
        print(f"  {engine} against {engines[-1]}: {same} of {len(pairs)} pairs token-identical, "
              f"{oracle.seconds / found[engine].seconds:.1f} times as fast")  # fmt: skip
        exact = engines[-1] == "naive" and arguments.dtype == "float32"
        if exact and same < len(pairs):
            faults.append(f"{engine}: tokens of {len(pairs) - same} pairs differ from naive")
    return faults


def project(prompt: int, tokens: int) -> None:
    """Floating-point operations for the shapes of Llama-2-7B, attention scores left out."""
    n = LLAMA_7B["layers"]
    print(
        f"projected for 7B shapes ({n} layers, prompt {prompt}, {tokens} new tokens), one sample:"
    )
    naive = engine_of("naive").grid_layer_tokens(n, prompt, tokens)
    for engine in ("naive", "cache", "wavefront"):
        count = engine_of(engine).grid_layer_tokens(n, prompt, tokens)
        flop = grid_flop(count, LLAMA_7B["layer_parameters"], LLAMA_7B["head_parameters"],
                         n * n * tokens)  # fmt: skip
        print(f"  {engine:<10} {count:>12,} layer tokens   {flop / 1e12:8.0f} TFLOP   "
              f"{naive / count:5.1f} times less work than naive")  # fmt: skip
    slots = private_cache_bytes(n * n, tokens, n, 32, 128, 2)
    print(f"  wavefront's key-value slots in bfloat16: {slots / 2**30:.1f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--layers", type=int)
    parser.add_argument("--prompt", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--skip-naive", action="store_true")
    arguments = parser.parse_args()
    arguments.layers = arguments.layers or (32 if arguments.shape == "7b" else 12)
    faults = compare(arguments)
    project(arguments.prompt, arguments.tokens)
    if faults:
        raise SystemExit("\n".join(["found wrong:", *faults]))


if __name__ == "__main__":
    main()
