"""SkillPacks: decomposition, rounding, packing, applying. Ratios measured side by side in one run.

python benchmarks/skillpack.py            # minutes
python benchmarks/skillpack.py --small    # seconds, to see that it works
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from franken.config.pack import ClassRule, PackConfig
from franken.measure import measured
from franken.parts import safetensors_file
from franken.parts.forms import LowRankForm, form_bytes
from franken.parts.skillpack import PAYLOAD_FILE, SkillPack
from franken.parts.weights import StoredWeights
from franken.seeds import derive_seed
from franken.skillpack.apply import apply_to_checkpoint
from franken.skillpack.policy import make_plans, predicted_bytes
from franken.skillpack.refit import refit_sigma
from franken.skillpack.svd import by_gram, full, randomized


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def spectrum(rows: int, columns: int, decay: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    limit = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, limit, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(columns, limit, generator=generator)).Q
    return (left * torch.arange(1, limit + 1).float() ** -decay) @ right.T


def decompositions(rows: int, columns: int, decays: tuple[float, ...] = (0.5, 1.0)) -> None:
    print(f"\nSVD of {rows} x {columns}, singular values i^-d", flush=True)
    for decay in decays:
        delta = spectrum(rows, columns, decay)
        whole = seconds(lambda d=delta: full(d))
        gram = seconds(lambda d=delta: by_gram(d))
        print(f"  d={decay}: full {whole:.2f} s, Gram {gram:.2f} s")
        squares = torch.arange(1, columns + 1).double() ** (-2 * decay)
        for share in (32, 16, 8):
            rank = columns // share
            kwargs = {"oversample": max(10, rank // 4), "power": 2, "seed": 0}
            taken = seconds(lambda d=delta, r=rank, k=kwargs: randomized(d, r, **k))
            found = randomized(delta, rank, **kwargs)
            error = (delta - (found.left * found.sigma) @ found.right).double().norm()
            excess = float(error / squares[rank:].sum().sqrt()) - 1
            print(
                f"    rank 1/{share}: {taken:.2f} s, {whole / taken:.1f} times as fast, "
                f"excess error {100 * excess:.3f} %",
                flush=True,
            )


def rounding(rows: int, columns: int) -> None:
    delta = spectrum(rows, columns, 0.5)
    factors = full(delta).cut(columns // 4)
    schedule = [(8, 2), (3, 6), (2, columns // 4 - 8)]
    form = LowRankForm.encode(factors.left, factors.sigma, factors.right, schedule)
    values = (rows + columns) * columns // 4
    taken = seconds(
        lambda: LowRankForm.encode(factors.left, factors.sigma, factors.right, schedule)
    )
    stored = sum(t.nbytes for t in form.sections().values())
    assert stored == form_bytes(form.describe())
    before = float((delta - form.decode()).norm() / delta.norm())
    refit = seconds(lambda: refit_sigma(form, delta))
    after = float((delta - refit_sigma(form, delta).decode()).norm() / delta.norm())
    print(f"\nrounding to 8/3/2 bits: {values / taken / 1e6:.0f} M values/s, {stored} bytes")
    print(f"  refit {refit:.2f} s: relative error {before:.3f} -> {after:.3f}")


def write_pair(directory: Path, layers: int, hidden: int, inner: int) -> None:
    from transformers import AutoConfig

    config = AutoConfig.for_model(
        "llama", vocab_size=8 * hidden, hidden_size=hidden, intermediate_size=inner,
        num_hidden_layers=layers, num_attention_heads=8, num_key_value_heads=8,
        tie_word_embeddings=True,
    )  # fmt: skip
    shapes = {"model.embed_tokens.weight": (8 * hidden, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        head = f"model.layers.{layer}"
        shapes |= {f"{head}.self_attn.{r}_proj.weight": (hidden, hidden) for r in "qkvo"}
        shapes |= {f"{head}.mlp.{r}_proj.weight": (inner, hidden) for r in ("gate", "up")}
        shapes |= {f"{head}.mlp.down_proj.weight": (hidden, inner)}
        shapes |= {f"{head}.{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")}

    def entry(name: str, shape: tuple[int, ...], change: float) -> safetensors_file.Entry:
        def rows(start: int, stop: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(derive_seed(0, name, start))
            size = (stop - start, *shape[1:])
            base = torch.randn(size, generator=generator) * 0.02
            return base + change * torch.randn(size, generator=generator)

        return safetensors_file.computed_entry(name, shape, torch.bfloat16, rows)

    for folder, change in (("base", 0.0), ("tuned", 1e-3)):
        (directory / folder).mkdir(parents=True)
        config.save_pretrained(directory / folder)
        entries = [entry(name, shape, change) for name, shape in shapes.items()]
        safetensors_file.write_file(
            directory / folder / "model.safetensors", entries, {"format": "pt"}
        )


def policy() -> PackConfig:
    rank = ClassRule(match="attention|mlp", op="lowrank", rank=32, bits=4)
    table = ClassRule(match="table", op="prune", density=0.1, bits=8)
    exact = ClassRule(op="dense", bits=0)
    return PackConfig(classes={"matrices": rank, "table": table, "rest": exact})


def pack_here(directory: Path) -> None:
    """In a process of its own, so that its peak memory is that of packing."""
    from franken.skillpack import pack_difference

    base, tuned = (StoredWeights.of_checkpoint(directory / d) for d in ("base", "tuned"))
    with measured() as cost:
        pack_difference(base, tuned, policy(), directory / "pack", name="bench")
    predicted = predicted_bytes(make_plans(base, policy()), policy().quant.group)
    found = {"seconds": cost.seconds, "grown": cost.peak_bytes or 0, "predicted": predicted}
    print(json.dumps(found))


def whole_models(layers: int, hidden: int, inner: int) -> None:
    directory = Path(tempfile.mkdtemp(prefix="skillpack-"))
    try:
        for count in (layers // 4, layers):
            place = directory / str(count)
            write_pair(place, count, hidden, inner)
            command = [sys.executable, __file__, "--pack", str(place)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            size = (place / "base" / "model.safetensors").stat().st_size
            largest = 4 * max(8 * hidden * hidden, hidden * inner)
            pack = SkillPack(place / "pack")
            print(
                f"\npacking {size / 1e9:.2f} GB, {count} layers: {found['seconds']:.1f} s, memory "
                f"grew by {found['grown'] / 1e6:.0f} MB = {found['grown'] / largest:.1f} times its "
                f"largest tensor in float32",
                flush=True,
            )
            stored = (place / "pack" / PAYLOAD_FILE).stat().st_size
            print(
                f"  pack.safetensors {stored} bytes, formula {found['predicted']} "
                f"({stored - found['predicted']:+d}); {100 * pack.bytes_count / size:.2f} % of the "
                "model"
            )
        applied = seconds(
            lambda: apply_to_checkpoint(place / "base", [pack], place / "out", check=False)
        )
        weights = StoredWeights.of_checkpoint(place / "tuned")
        read = seconds(lambda: [weights.tensor(name).float() for name in weights.names()])
        decoded = seconds(lambda: [pack.delta(name) for name in pack.names()])
        copied = seconds(
            lambda: shutil.copyfile(
                place / "base" / "model.safetensors", place / "copy.safetensors"
            )
        )
        print(
            f"  applying on disk {applied:.1f} s, of which decoding {decoded:.1f} s; reading a "
            f"dense difference of that size {read:.1f} s, copying the file {copied:.1f} s"
        )
    finally:
        shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="svd|rounding|model", help="default: all")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--pack", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pack:
        pack_here(options.pack)
        return
    parts = options.parts or ["svd", "rounding", "model"]
    if "svd" in parts and options.small:
        decompositions(512, 256)
    elif "svd" in parts:
        decompositions(5504, 2048)
        decompositions(4096, 4096, (0.5,))
    if "rounding" in parts:
        rounding(*((512, 256) if options.small else (2752, 1024)))
    if "model" in parts:
        whole_models(*((4, 256, 512) if options.small else (24, 2048, 5504)))


if __name__ == "__main__":
    main()
