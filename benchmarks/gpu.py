"""What benchmarks/gpu.sh runs: heavy parts on a GPU, each in minutes, as a Markdown table.

    python benchmarks/gpu.py [--tiny] [--minutes 12] [--only training,loss,omp,xtransplant,bfloat16]

``--tiny``: the same code on shapes that a CPU does in seconds, for the tests. A part that fails
(for want of memory, say) has a line that says so; the exit code is then 1.
"""

import argparse
import importlib.util
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from franken.config.trainer import Precision, TrainerConfig
from franken.config.training import Trainable, TrainingConfig
from franken.estimate import KNOWN, SHAPES, Shape, estimate

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bfloat16 operations per second, by the makers' data sheets."""
TINY = Shape(500, 32, 2, 64, 4, 2, 8, True)


@dataclass
class Bench:
    """Where parts run, how large, and until when."""

    device: str
    tiny: bool
    until: float
    failed: bool = False

    def line(self, part: str, what: str, found: str) -> None:
        print(f"| {part} | {what} | {found} |", flush=True)

    def attempt(self, part: str, what: str, work: Callable[[], str]) -> None:
        """A line of the table, whatever comes of it."""
        if time.monotonic() > self.until:
            self.line(part, what, "left out: time is up")
            return
        try:
            self.line(part, what, work())
        except Exception as error:  # the next part has its own chance
            self.failed = True
            self.line(part, what, f"failed: {type(error).__name__}: {str(error).splitlines()[0]}")
        if self.device == "cuda":
            torch.cuda.empty_cache()


@contextmanager
def timed(device: str) -> Iterator[dict[str, float]]:
    """Seconds and gigabytes at most (0 on a CPU) of what stands under it."""
    found = {"seconds": 0.0, "gigabytes": 0.0}
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    yield found
    if device == "cuda":
        torch.cuda.synchronize()
        found["gigabytes"] = torch.cuda.max_memory_allocated() / 1e9
    found["seconds"] = time.perf_counter() - start


def llama_of(shape: Shape, device: str) -> Any:
    """A random Llama of a shape, made on the device."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=shape.rows, hidden_size=shape.width, num_hidden_layers=shape.layers,
        intermediate_size=shape.inner, num_attention_heads=shape.heads, head_dim=shape.head_dim,
        num_key_value_heads=shape.kv_heads, tie_word_embeddings=shape.tied,
        max_position_embeddings=4096,
    )  # fmt: skip
    with torch.device(device):
        return LlamaForCausalLM(config)


def training(bench: Bench) -> None:
    """Embedding tuning against full training in the same run."""
    shapes = {"tiny": TINY} if bench.tiny else {"2B": KNOWN["gemma2_2b"], "8B": SHAPES["8B"]}
    for name, shape in shapes.items():
        compare(bench, name, shape)


def compare(bench: Bench, name: str, shape: Shape) -> None:
    """Both ways of one shape, without and with activation checkpointing."""
    rates: dict[tuple[Trainable, bool], float] = {}

    def work(trainable: Trainable, spared: bool) -> str:
        rates[trainable, spared], shown = trained(bench, shape, trainable, spared)
        return shown

    for spared in (False, True):
        how = ", checkpointing" if spared else ""
        for kind in (Trainable.embeddings, Trainable.full):
            if kind is Trainable.full and not spared and name == "8B":
                continue  # activations beside 128 GB of weights, gradients and moments
            bench.attempt("training", f"{name}, {kind}{how}", partial(work, kind, spared))
        tuned, full = (rates.get((kind, spared)) for kind in (Trainable.embeddings, Trainable.full))
        if tuned and full:
            bench.line("training", f"{name}, embeddings / full{how}", f"{tuned / full:.2f}x")
    bench.attempt(
        "training", f"{name}, embeddings, body in CPU memory",
        lambda: trained(bench, shape, Trainable.embeddings, False, offload=True)[1],
    )  # fmt: skip


def trained(
    bench: Bench, shape: Shape, trainable: Trainable, spared: bool, *, offload: bool = False
) -> tuple[float, str]:
    """Tokens per second of some steps after the first, and how they are shown."""
    from benchmarks.embedding_tuning import RandomData
    from franken.training import train_model

    rows, length, steps = (2, 16, 2) if bench.tiny else (8, 1024, 4)
    settings = TrainingConfig(
        steps=steps + 1, batch_size=rows, sequence_length=length, accumulate=2, lr=1e-4,
        checkpoint_every=10**6, checkpoint_minutes=0, activation_checkpointing=spared,
    )  # fmt: skip
    half = bench.device == "cuda"
    where = TrainerConfig(
        accelerator="gpu" if half else "cpu", deterministic=not half, progress=False,
        precision=Precision.bf16_mixed if half else Precision.fp32, threads=None if half else 1,
        offload=offload,
    )  # fmt: skip
    moments: list[float] = []
    with timed(bench.device) as cost, tempfile.TemporaryDirectory() as folder:
        data = RandomData(shape.rows, rows // settings.accumulate, length)
        model = llama_of(shape, "cpu" if offload else bench.device)
        train_model(
            model, None, data, settings, trainable, where,
            work_dir=Path(folder), seed=0, on_log=lambda point: moments.append(time.perf_counter()),
        )  # fmt: skip
    rate = steps * rows * length / (moments[-1] - moments[0])
    expected = estimate(shape, trainable, settings, half_precision=half, offload=offload)
    shown = f"{rate:,.0f} tokens/s"
    peak = next((p for n, p in PEAKS.items() if half and n in torch.cuda.get_device_name()), None)
    if peak is not None:
        shown += f", MFU {rate * expected.operations / expected.tokens / peak:.1%}"
    if half:
        shown += f", {cost['gigabytes']:.1f} GB (estimated {expected.peak / 1e9:.1f})"
    return rate, shown


def loss(bench: Bench) -> None:
    """The chunked cross-entropy beside others, forward and backward."""
    from franken.training.loss import chunked_linear_cross_entropy

    tokens, rows, width = (32, 500, 16) if bench.tiny else (8192, 128_256, 4096)
    dtype = torch.bfloat16 if bench.device == "cuda" else torch.float32
    generator = torch.Generator(bench.device).manual_seed(0)

    def drawn(*size: int) -> torch.Tensor:
        made = torch.randn(*size, generator=generator, device=bench.device) * width**-0.5
        return made.to(dtype).requires_grad_()

    states, head = drawn(tokens, width), drawn(rows, width)
    labels = torch.randint(rows, (tokens,), generator=generator, device=bench.device)
    ways: dict[str, Callable[[], torch.Tensor]] = {
        "franken": lambda: chunked_linear_cross_entropy(states, head, labels, chunk_tokens=2048),
        "plain": lambda: F.cross_entropy((states @ head.T).float(), labels),
    }
    if hasattr(F, "linear_cross_entropy"):
        ways["torch linear_cross_entropy"] = lambda: F.linear_cross_entropy(states, head, labels)
    if bench.device == "cuda" and importlib.util.find_spec("liger_kernel"):
        from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction

        ways["Liger"] = lambda: LigerFusedLinearCrossEntropyFunction.apply(states, head, labels)[0]
    if bench.device == "cuda" and importlib.util.find_spec("cut_cross_entropy"):
        from cut_cross_entropy import linear_cross_entropy

        ways["cut-cross-entropy"] = lambda: linear_cross_entropy(states, head, labels)
    for name, way in ways.items():

        def work(way: Callable[[], torch.Tensor] = way) -> str:
            way().backward()  # compiles, allocates
            with timed(bench.device) as cost:
                value = way()
                value.backward()
            return f"{cost['seconds'] * 1e3:.1f} ms, {cost['gigabytes']:.1f} GB, {value.item():.4f}"

        bench.attempt("loss", f"{name}, {tokens} x {rows} x {width}", work)


def omp(bench: Bench) -> None:
    """Matching pursuit on the device, and that it chooses as on the CPU."""
    from franken.token_map.matching_pursuit import pursue
    from franken.token_map.projection import projection_weights

    tokens, anchors, width, k = (40, 300, 16, 4) if bench.tiny else (128_000, 60_000, 4096, 64)
    generator = torch.Generator().manual_seed(0)
    among = torch.randn(anchors, width, generator=generator).to(bench.device)
    asked = torch.randn(tokens, width, generator=generator)
    share = tokens if bench.tiny else 4096

    def work() -> str:
        with timed(bench.device) as cost:
            support = pursue(asked[:share], among, k)
            projection_weights(asked[:share], among, support)
        return (
            f"{cost['seconds']:.1f} s for {share} tokens, so {cost['seconds'] * tokens / share:.0f}"
            f" s for {tokens}; {cost['gigabytes']:.1f} GB"
        )

    def agreement() -> str:
        few, near = asked[:32], min(anchors, 2000)
        one, other = pursue(few, among[:near], k), pursue(few, among[:near].cpu(), k)
        equal = (
            (one.columns == other.columns).mean() if len(one.columns) == len(other.columns) else 0
        )
        if equal < 0.99:
            raise RuntimeError(f"only {equal:.1%} of the atoms are those of the CPU")
        return f"{equal:.1%} of the atoms"

    bench.attempt("omp", f"{anchors} x {width}, k = {k}", work)
    bench.attempt("omp", "as on the CPU", agreement)


def xtransplant(bench: Bench) -> None:
    """The grid of layer pairs, by its own benchmark."""
    size = ["--layers", "2", "--prompt", "8", "--tokens", "2"] if bench.tiny else [
        "--shape", "7b", "--layers", "32", "--prompt", "200", "--tokens", "4",
        "--dtype", "bfloat16",
    ]  # fmt: skip
    script = Path(__file__).with_name("xtransplant.py")

    def work() -> str:
        before = sys.argv
        sys.argv = [str(script), *size, "--device", bench.device, "--repeats", "1", "--skip-naive"]
        try:
            with timed(bench.device) as cost:
                runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:  # what it found wrong; the next part has its own chance
            if end.code:
                raise RuntimeError(str(end.code)) from end
        finally:
            sys.argv = before
        return f"{cost['seconds']:.1f} s, {cost['gigabytes']:.1f} GB (figures above)"

    bench.attempt("xtransplant", "7B shape" if not bench.tiny else "tiny", work)


def bfloat16(bench: Bench) -> None:
    """How far the loss in mixed precision lies from float32, and the nearest of both."""
    shape = TINY if bench.tiny else replace(SHAPES["1B"], layers=8)
    model = llama_of(shape, bench.device).eval()
    ids = torch.randint(shape.rows, (2, 32 if bench.tiny else 1024), device=bench.device)

    def work() -> str:
        with torch.no_grad():
            exact = model(ids, labels=ids).loss.item()
            with torch.autocast(bench.device, torch.bfloat16):
                rough = model(ids, labels=ids).loss.item()
        apart = abs(rough - exact) / exact
        if apart > 0.01:
            raise RuntimeError(f"loss {rough:.4f} against {exact:.4f} in float32")
        return f"{apart:.1e} of the loss"

    bench.attempt("bfloat16", "loss against float32", work)


PARTS = {part.__name__: part for part in (training, loss, omp, xtransplant, bfloat16)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.tiny:
        print("no GPU is at hand; --tiny runs the same code on a CPU", file=sys.stderr)
        return 2
    bench = Bench(device, options.tiny, time.monotonic() + 60 * options.minutes)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, tiny shapes: no figures"
    print(f"{name}, torch {torch.__version__}\n\n| part | what | found |\n|---|---|---|")
    for part in options.only.split(","):
        PARTS[part](bench)
    return int(bench.failed)


if __name__ == "__main__":
    sys.exit(main())
