"""A Hydra LLM of 2, 8, 32 tables against the plain model and against as many separate models.

    python benchmarks/hydra.py [--tables 2 8 32] [--rows 8000] [--tokens 64]

Decoding: greedy, one batch, equal prompts and equal numbers of new tokens; the plain model and the
Hydra LLM run through the same loop and alternate, the quickest of ``--repeats`` counts (per CPU
second where the machine has other work). Memory: bytes of the weights held, against the formula
"one body + tables" from the sizes of the files, and growth of the resident set of a process of its
own that loads them. Loading: seconds until one more table is ready, its tokenizer included.
Characters per second: measured tokens per second times characters per token of Georgian text, for
the plain model with a vocabulary of English text and for the Hydra LLM that writes one of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HIDDEN, LAYERS = 256, 6
LANGUAGE = "ka"


def train_tokenizers() -> dict[str, Any]:
    """A vocabulary of English text and one of the target language."""
    from franken.config.data import MicroworldData
    from franken.data import open_data
    from franken.tokenizer.families import train_tokenizer

    data = open_data(MicroworldData(languages=[LANGUAGE], sentences=3000))
    return {
        lang: train_tokenizer("sentencepiece_bpe", data.texts("monolingual", lang), 2000)
        for lang in ("en", LANGUAGE)
    }


def prepare(directory: Path, tables: int, rows: int, tokenizers: dict[str, Any]) -> None:
    """A Gemma-2-type body with ``tables`` random tables."""
    import torch
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from franken.composition.hydra import HydraModel, save_hydra
    from franken.parts.table import Table

    torch.manual_seed(0)
    model = Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=8, hidden_size=HIDDEN, num_hidden_layers=LAYERS,
            intermediate_size=4 * HIDDEN, num_attention_heads=4, num_key_value_heads=2,
            head_dim=64, sliding_window=4096, attn_implementation="eager",  # type: ignore[call-arg]
        )
    )  # fmt: skip
    made = {
        ("source" if place == 0 else f"table{place}"): Table(
            tokenizers["en" if place == 0 else LANGUAGE], torch.randn(rows, HIDDEN) * 0.02,
            None, None, "f" * 64,
        )
        for place in range(tables)
    }  # fmt: skip
    save_hydra(HydraModel(model, made, lineage="f" * 64), directory)


def resident() -> float:
    """MiB of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(directory: Path, kind: str, threads: int) -> None:
    """Load in this process and print what the memory grew by."""
    import torch
    from transformers.models.gemma2 import modeling_gemma2  # noqa: F401

    from franken.composition.hydra import load_hydra, open_hydra
    from franken.parts.model import assemble
    from franken.parts.tokenizer_files import load_tokenizer

    torch.set_num_threads(threads)
    ref = open_hydra(directory)
    load_tokenizer(next(iter(ref.tables.values())))
    before = resident()
    held = [assemble(ref.plain(name))[0] for name in ref.tables] if kind == "separate" else []
    hydra = None if kind == "separate" else load_hydra(directory)
    modules = held if hydra is None else [hydra]
    for module in modules:
        for parameter in module.parameters():
            parameter.sum()  # mapped files count once they are read
    grown = resident() - before
    weights = {p.data_ptr(): p.numel() * p.element_size() for m in modules for p in m.parameters()}
    body, tables = (
        sum(file.stat().st_size for file in directory.glob(pattern)) / 2**20
        for pattern in ("body/*.safetensors", "tables/*/*.safetensors")
    )
    times = len(ref.tables) if kind == "separate" else 1
    print(
        json.dumps(
            {
                "resident": grown, "weights": sum(weights.values()) / 2**20,
                "formula": times * body + tables,
            }
        )
    )  # fmt: skip


def clock(work) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - busy


def speeds(directory: Path, options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Seconds (wall, CPU) of decoding: the plain model of the target's table, the Hydra LLM that
    reads the source's and writes it, the plain model of the source's table."""
    import torch

    from franken.composition.hydra import load_hydra
    from franken.decoding import Decoding, Ends, WholeModel, decode

    torch.set_num_threads(options.threads)
    hydra = load_hydra(directory)
    write = hydra.names[-1]
    plain = hydra.view(write)
    mixed = hydra.view(write, [name for name in hydra.names if name != write])
    source = hydra.view("source")
    own = [[5 + (line + i) % 900 for i in range(24)] for line in range(options.batch)]
    read = [[i + mixed.layout.offsets["source"] for i in prompt] for prompt in own]
    best: dict[str, tuple[float, float]] = {}
    ways = (("plain", plain, own), ("hydra", mixed, read), ("source", source, own))
    for _ in range(options.repeats):
        for name, view, prompts in ways:
            made = Decoding(max_new_tokens=options.tokens)
            seconds = clock(
                lambda view=view, prompts=prompts, made=made: decode(
                    WholeModel(view.model), prompts, made, ends=Ends(), writable=view.writable
                )
            )
            old = best.get(name, (1e9, 1e9))
            best[name] = (min(old[0], seconds[0]), min(old[1], seconds[1]))
    return best


def load_seconds(directory: Path) -> float:
    """Until one more table of a loaded Hydra LLM is ready."""
    from franken.composition.hydra import load_hydra
    from franken.parts.table import load_table

    hydra = load_hydra(directory)
    started = time.perf_counter()
    hydra.add("one_more", load_table(directory / "tables" / hydra.names[-1]))
    return time.perf_counter() - started


def characters_per_token(directory: Path) -> dict[str, float]:
    """Of Georgian text, by table."""
    from franken.composition.hydra import open_hydra
    from franken.config.data import MicroworldData
    from franken.data import open_data
    from franken.parts.tokenizer_files import load_tokenizer

    data = open_data(MicroworldData(languages=[LANGUAGE], sentences=3000))
    lines = list(data.texts("monolingual", LANGUAGE, "valid"))
    found = {}
    for name, path in open_hydra(directory).tables.items():
        ids = load_tokenizer(path)(lines, add_special_tokens=False)["input_ids"]
        found[name] = sum(map(len, lines)) / sum(map(len, ids))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, nargs="+", default=[2, 8, 32])
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(Path(options.measure[0]), options.measure[1], options.threads)
        return
    tokenizers = train_tokenizers()
    print(
        f"Gemma-2-type, D = {HIDDEN}, {LAYERS} layers, tables of {options.rows} rows, "
        f"{options.batch} x {options.tokens} new tokens, {options.threads} thread(s)"
    )
    columns = ("plain tok/s", "hydra tok/s", "ratio", "CPU ratio", "MiB", "formula", "separate MiB",
               "resident MiB", "one more table")  # fmt: skip
    print("  ".join(["tables", *columns]))
    for count in options.tables:
        with tempfile.TemporaryDirectory() as scratch:
            directory = Path(scratch) / "hydra"
            prepare(directory, count, options.rows, tokenizers)
            memory = {}
            for kind in ("hydra", "separate"):
                command = [sys.executable, __file__, "--measure", str(directory), kind]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                memory[kind] = json.loads(done.stdout)
            best = speeds(directory, options)
            seconds = load_seconds(directory)
            per_token = characters_per_token(directory)
        own, separate = memory["hydra"], memory["separate"]
        tokens = options.batch * options.tokens
        plain, hydra, source = best["plain"], best["hydra"], best["source"]
        print(
            f"{count:>6}  {tokens / plain[0]:11.0f}  {tokens / hydra[0]:11.0f}  "
            f"{plain[0] / hydra[0]:5.3f}  {plain[1] / hydra[1]:9.3f}  {own['weights']:3.0f}  "
            f"{own['formula']:7.0f}  {separate['weights']:12.0f}  "
            f"{own['resident']:5.0f} / {separate['resident']:4.0f}  {seconds:12.3f} s"
        )
    speed = {"source": tokens / source[0] * per_token["source"],
             "own": tokens / hydra[0] * per_token["table1"]}  # fmt: skip
    print(
        f"characters per second of {LANGUAGE}: {speed['source']:.0f} with the source vocabulary "
        f"({per_token['source']:.2f} per token), {speed['own']:.0f} with its own "
        f"({per_token['table1']:.2f}): {speed['own'] / speed['source']:.1f}x"
    )


if __name__ == "__main__":
    main()
