"""Table surgery on a sharded checkpoint of several gigabytes: on disk, or load-resize-save.

    python benchmarks/surgery.py --gigabytes 3

writes a synthetic Llama-type checkpoint (random bfloat16, tied) and a new table under a scratch
directory, replaces the table in four ways, each in a process of its own, checks that all results
hold the same tensors, prints peak memory and time, and appends one JSON record per way.

Peak memory is what a process had resident at most, mapped files included. The first row is what
importing alone costs. The reference gets its best case: no mean resizing, the stored number
format, the new rows copied in. Franken's ways include checking the table's checksum, all its rows
and the tokenizer's round trip, which the reference does not do.
"""

import argparse
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table as RichTable
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from franken.files import write_json
from franken.parts.anatomy import anatomy_of
from franken.parts.checkpoint import INDEX_FILE, Checkpoint
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.fingerprint import body_fingerprint
from franken.parts.safetensors_file import Entry, computed_entry, write_file
from franken.parts.table import Table, load_table, save_table
from franken.parts.tokenizer_files import save_tokenizer

HIDDEN, FEED_FORWARD, HEADS = 2048, 8192, 16
OLD_ROWS, NEW_ROWS = 256_000, 200_000
SHARD_BYTES = 1 << 30
WAYS = {
    "imports only": lambda source, table, target: None,
    "franken, shards linked": lambda source, table, target: replace_tables_on_disk(
        source, table, target
    ),
    "franken, shards copied": lambda source, table, target: replace_tables_on_disk(
        source, table, target, link=False
    ),
    "transformers, load-resize-save": lambda source, table, target: load_resize_save(
        source, table, target
    ),
}


def load_resize_save(source: Path, table_dir: Path, target: Path) -> None:
    """The usual way, with transformers alone."""
    from safetensors.torch import load_file

    model = AutoModelForCausalLM.from_pretrained(source)
    rows = load_file(table_dir / "table.safetensors")["input"]
    model.resize_token_embeddings(rows.shape[0], mean_resizing=False)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(rows)
    model.save_pretrained(target, max_shard_size="1GB")
    AutoTokenizer.from_pretrained(table_dir).save_pretrained(target)


def random_rows(seed: int, *tail: int) -> Any:
    """``rows(start, stop)`` of a random matrix that is never held whole."""

    def rows(start: int, stop: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed + start)
        return torch.randn(stop - start, *tail, generator=generator).mul_(0.02)

    return rows


def word_tokenizer(size: int) -> PreTrainedTokenizerFast:
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, size)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )


def write_checkpoint(directory: Path, gigabytes: float) -> None:
    """A Llama-type checkpoint of about this size, in shards of about 1 GiB."""
    layer = {
        **{f"self_attn.{role}_proj": (HIDDEN, HIDDEN) for role in "qkvo"},
        **{f"mlp.{role}_proj": (FEED_FORWARD, HIDDEN) for role in ("gate", "up")},
        "mlp.down_proj": (HIDDEN, FEED_FORWARD),
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
    }
    layer_bytes = 2 * sum(torch.Size(shape).numel() for shape in layer.values())
    count = max(1, round((gigabytes * 1e9 - 2 * OLD_ROWS * HIDDEN) / layer_bytes))
    config = LlamaConfig(
        vocab_size=OLD_ROWS,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=count,
        num_attention_heads=HEADS,
        tie_word_embeddings=True,
        architectures=["LlamaForCausalLM"],
        dtype=torch.bfloat16,
    )
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (OLD_ROWS, HIDDEN)}
    for index in range(count):
        shapes |= {f"model.layers.{index}.{name}.weight": s for name, s in layer.items()}
    shapes["model.norm.weight"] = (HIDDEN,)
    shards: list[list[Entry]] = [[]]
    for seed, (name, shape) in enumerate(shapes.items()):
        entry = computed_entry(name, shape, torch.bfloat16, random_rows(seed << 20, *shape[1:]))
        if shards[-1] and sum(e.bytes_count for e in shards[-1]) + entry.bytes_count > SHARD_BYTES:
            shards.append([])
        shards[-1].append(entry)
    directory.mkdir(parents=True)
    weight_map = {}
    for number, entries in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_file(directory / file, entries, {"format": "pt"})
        weight_map |= {entry.name: file for entry in entries}
    total = sum(entry.bytes_count for entries in shards for entry in entries)
    write_json(
        directory / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map}
    )
    config.save_pretrained(directory)
    save_tokenizer(word_tokenizer(OLD_ROWS), directory)


def write_new_table(directory: Path, source: Path) -> None:
    rows = random_rows(1 << 40, HIDDEN)(0, NEW_ROWS).bfloat16()
    lineage = body_fingerprint(source, anatomy_of(Checkpoint(source).config()))
    save_table(Table(word_tokenizer(NEW_ROWS), rows, None, None, lineage), directory)


def run_here(way: str, source: Path, table: Path, target: Path) -> None:
    """The measured process: do it once, print seconds and peak bytes as JSON."""
    wall, cpu = time.perf_counter(), time.process_time()
    WAYS[way](source, table, target)
    result = {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(result))


def peak_bytes() -> int:
    """Most memory that this process had resident since it was started.

    From /proc where there is one: ``ru_maxrss`` survives ``exec``, so a child of a large process
    would report its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    factor = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor


def measure(way: str, source: Path, table: Path, target: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", way, str(source), str(table), str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(result.stdout.splitlines()[-1]))


def check_result(target: Path, source: Path, table_dir: Path) -> None:
    """The target holds the source's body and the new rows, bit for bit."""
    found, original = Checkpoint(target), Checkpoint(source)
    if set(found.names()) != set(original.names()):
        raise AssertionError(f"{target} holds other tensors than {source}")
    for name in original.names():
        if name == "model.embed_tokens.weight":
            same = torch.equal(found.tensor(name), load_table(table_dir).input)
        else:
            same = torch.equal(found.tensor(name), original.tensor(name))
        if not same:
            raise AssertionError(f"{name} differs in {target}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=3.0, help="size of the checkpoint")
    parser.add_argument("--repeats", type=int, default=1, help="the least of so many runs counts")
    parser.add_argument("--scratch", type=Path, default=None, help="default: the system's")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks/surgery.jsonl"))
    parser.add_argument("--run", nargs=4, metavar=("WAY", "SOURCE", "TABLE", "TARGET"))
    arguments = parser.parse_args()
    if arguments.run:
        way, *paths = arguments.run
        run_here(way, *map(Path, paths))
        return
    scratch = Path(tempfile.mkdtemp(prefix="surgery-", dir=arguments.scratch))
    try:
        compare(scratch, arguments.gigabytes, arguments.repeats, arguments.output)
    finally:
        shutil.rmtree(scratch)


def compare(scratch: Path, gigabytes: float, repeats: int, output: Path) -> None:
    source, table, target = scratch / "source", scratch / "table", scratch / "target"
    write_checkpoint(source, gigabytes)
    write_new_table(table, source)
    size = sum(path.stat().st_size for path in source.glob("*.safetensors"))
    results: dict[str, dict[str, Any]] = {}
    for repeat in range(repeats):
        for way in WAYS:
            measured = measure(way, source, table, target)
            best = results.setdefault(way, measured)
            results[way] = {key: min(best[key], measured[key]) for key in best}
            if target.exists():
                if repeat == 0:
                    check_result(target, source, table)
                shutil.rmtree(target)
    report(results, size)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "a") as handle:
        for way, result in results.items():
            record = {"benchmark": "surgery", "way": way, "checkpoint_bytes": size, **result}
            record["repeats"] = repeats
            record |= {"torch": torch.__version__, "machine": platform.machine()}
            handle.write(json.dumps(record, sort_keys=True) + "\n")


def report(results: dict[str, dict[str, Any]], size: int) -> None:
    floor = results["imports only"]["peak_bytes"]
    reference = results["transformers, load-resize-save"]
    table = RichTable(
        title=f"Replace the table of a {size / 1e9:.2f} GB checkpoint "
        f"({OLD_ROWS} -> {NEW_ROWS} rows of {HIDDEN})"
    )
    for column in ("way", "seconds", "CPU s", "peak GB", "above imports", "time", "CPU", "memory"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way, result in results.items():
        peak = result["peak_bytes"]
        ratios = [""] * 3
        if way != "imports only":
            keys = ("seconds", "cpu_seconds", "peak_bytes")
            ratios = [f"{reference[key] / result[key]:.1f}x" for key in keys]
        table.add_row(
            way,
            f"{result['seconds']:.1f}",
            f"{result['cpu_seconds']:.1f}",
            f"{peak / 1e9:.2f}",
            f"{(peak - floor) / 1e9:.2f}",
            *ratios,
        )
    Console(width=120).print(table)
    print("The last three columns: the reference's figure divided by this way's; more is better.")


if __name__ == "__main__":
    main()
