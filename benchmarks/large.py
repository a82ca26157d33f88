"""A checkpoint of the shape of Llama 70B (141 GB), worked on in the memory of a small machine.

    python benchmarks/large.py                 # 80 layers; minutes, a few gigabytes of disk
    python benchmarks/large.py --small         # seconds, to see that it works

The files are sparse: tensors that nothing wrote are holes, which read as zeros, so every byte is
read as from a real one, but the disk holds only the tables and what the tuned model changed.
Each step runs in a process of its own. "anonymous" is memory that the system could not drop;
"resident" counts the file pages that are mapped too. Both include the imports.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from franken.files import write_json
from franken.parts.anatomy import anatomy_of
from franken.parts.checkpoint import INDEX_FILE, Checkpoint
from franken.parts.safetensors_file import Entry, encode_header, read_header
from franken.parts.tokenizer_files import save_tokenizer

SHARD_BYTES = 5 << 30
SHAPES = {
    "70b": {"layers": 80, "hidden": 8192, "inner": 28672, "heads": 64, "kv": 8, "rows": 128_256},
    "small": {"layers": 3, "hidden": 64, "inner": 96, "heads": 4, "kv": 2, "rows": 600},
}


def tensor_shapes(size: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a Llama with untied tables."""
    hidden, inner = size["hidden"], size["inner"]
    narrow = hidden // size["heads"] * size["kv"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (size["rows"], hidden)}
    for index in range(size["layers"]):
        head = f"model.layers.{index}"
        found |= {f"{head}.self_attn.{r}_proj.weight": (hidden, hidden) for r in "qo"}
        found |= {f"{head}.self_attn.{r}_proj.weight": (narrow, hidden) for r in "kv"}
        found |= {f"{head}.mlp.{r}_proj.weight": (inner, hidden) for r in ("gate", "up")}
        found[f"{head}.mlp.down_proj.weight"] = (hidden, inner)
        found |= {f"{head}.{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")}
    return found | {"model.norm.weight": (hidden,), "lm_head.weight": (size["rows"], hidden)}


def write_sparse_checkpoint(
    directory: Path, size: dict[str, int], written: Callable[[str], float], seed: int
) -> None:
    """A sharded checkpoint whose tensors are holes, but for those with ``written(name) > 0``.

    Args:
        directory: where to.
        size: one of ``SHAPES``.
        written: deviation of the random values of a tensor.
        seed: of these.
    """
    directory.mkdir(parents=True)
    shards: list[list[Entry]] = [[]]
    for name, shape in tensor_shapes(size).items():
        entry = Entry(name, "BF16", shape, 2 * math.prod(shape), lambda: iter(()))
        if shards[-1] and sum(e.bytes_count for e in shards[-1]) + entry.bytes_count > SHARD_BYTES:
            shards.append([])
        shards[-1].append(entry)
    weight_map = {}
    for number, entries in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_sparse_file(directory / file, entries, written, seed)
        weight_map |= {entry.name: file for entry in entries}
    total = sum(entry.bytes_count for entries in shards for entry in entries)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    write_json(directory / INDEX_FILE, index)
    LlamaConfig(
        vocab_size=size["rows"], hidden_size=size["hidden"], intermediate_size=size["inner"],
        num_hidden_layers=size["layers"], num_attention_heads=size["heads"],
        num_key_value_heads=size["kv"], tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"], dtype=torch.bfloat16,
    ).save_pretrained(directory)  # fmt: skip
    save_tokenizer(letter_tokenizer(size["rows"]), directory)


def write_sparse_file(
    path: Path, entries: list[Entry], written: Callable[[str], float], seed: int
) -> None:
    """Header and holes; then the values of the tensors that have any: one block over and over."""
    _, text = encode_header(entries, {"format": "pt"})
    with open(path, "wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.truncate(8 + len(text) + sum(entry.bytes_count for entry in entries))
    generator = torch.Generator().manual_seed(seed)
    with open(path, "r+b") as handle:
        for name, item in read_header(path)[0].items():
            if not (deviation := written(name)):
                continue
            rows = torch.randn(1 << 21, generator=generator).mul_(deviation).bfloat16()
            block = rows.view(torch.uint8).numpy().tobytes()
            handle.seek(item.start)
            for at in range(0, item.bytes_count, len(block)):
                handle.write(block[: item.bytes_count - at])


def letter_tokenizer(
    size: int, letters: str = "abcdefghijklmnopqrstuvwxyz"
) -> PreTrainedTokenizerFast:
    """Byte-level BPE of two, three and four letters, in this order of the letters."""
    pieces = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = []
    grown = list(letters)
    while len(pieces) < size:
        pairs = [(head, letter) for head in grown for letter in letters][: size - len(pieces)]
        merges += pairs
        grown = [head + letter for head, letter in pairs]
        pieces += grown
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def is_table(name: str) -> bool:
    return name in ("model.embed_tokens.weight", "lm_head.weight")


# The steps; each gets the scratch directory.


def load(scratch: Path) -> None:
    """A checkpoint taken apart: the body copied, the table row block by row block."""
    from franken.parts.body_files import copy_body
    from franken.parts.table_rows import rows_of_checkpoint, save_rows

    rows = rows_of_checkpoint(scratch / "base")
    copy_body(Checkpoint(scratch / "base"), scratch / "body", tokenizer=rows.tokenizer)
    save_rows(rows, scratch / "table", {"method": "checkpoint"})


def initialise(scratch: Path) -> None:
    """A table for another vocabulary; the old one has a part of its tokens."""
    from franken.config.checks import checked
    from franken.declare import find
    from franken.init_method import InitResources
    from franken.parts.table import load_table
    from franken.steps.common.initialise_large import initialise_large

    old = load_table(scratch / "table", verify=False, mapped=True)
    tokenizer = letter_tokenizer(old.rows, letters="zyxwvutsrqponmlkjihgfedcba")
    method = checked(find("init_method", "mean")(), "init_method=mean")
    initialise_large(scratch / "table", old, tokenizer, method, InitResources("en", ["sw"]), 0,
                     scratch / "new_table")  # fmt: skip


def surgery(scratch: Path) -> None:
    """The new table put into the checkpoint, body shards linked."""
    from franken.parts.disk_surgery import replace_tables_on_disk

    replace_tables_on_disk(scratch / "base", scratch / "new_table", scratch / "linked")


def export(scratch: Path) -> None:
    """Body and table as a plain checkpoint of its own, shards copied."""
    from franken.parts.export import export_model
    from franken.parts.model import ref_of

    export_model(ref_of(scratch / "body", scratch / "new_table"), scratch / "exported", card="")


def pack(scratch: Path) -> None:
    """A SkillPack of the tuned model: low rank, 1 % of the tables, norms exact."""
    from franken.parts.weights import StoredWeights
    from franken.skillpack.__main__ import read_policy
    from franken.skillpack.extract import pack_difference

    policy = read_policy(
        ["pack=module_aware", "pack.classes.embed.density=0.01", "pack.schedule_width=null",
         "pack.schedule=graft82", "pack.schedules.graft82.attn=[[8, 8], [4, 24]]",
         "pack.schedules.graft82.mlp=[[8, 8], [4, 24]]"]
    )  # fmt: skip
    base, tuned = (StoredWeights.of_checkpoint(scratch / part) for part in ("base", "tuned"))
    pack_difference(base, tuned, policy, scratch / "pack", name="x")


def apply(scratch: Path) -> None:
    """The pack put into the base on disk."""
    from franken.parts.skillpack import SkillPack
    from franken.skillpack.apply import apply_to_checkpoint

    apply_to_checkpoint(scratch / "base", [SkillPack(scratch / "pack")], scratch / "applied")


STEPS = {step.__name__: step for step in (load, initialise, surgery, export, pack, apply)}


def run_here(name: str, scratch: Path) -> None:
    """The measured process."""
    anonymous = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            anonymous[0] = max(anonymous[0], status_bytes("RssAnon"))

    torch.set_num_threads(1)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    started = time.perf_counter(), time.process_time()
    STEPS[name](scratch)
    seconds = time.perf_counter() - started[0], time.process_time() - started[1]
    done.set()
    watcher.join()
    result = {
        "seconds": seconds[0], "cpu_seconds": seconds[1], "resident": status_bytes("VmHWM"),
        "anonymous": anonymous[0],
    }  # fmt: skip
    print(json.dumps(result))


def status_bytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def check(scratch: Path, size: dict[str, int]) -> None:
    """What came of it, at spread places: copied rows, means, the body, the change."""
    old, new = Checkpoint(scratch / "base"), Checkpoint(scratch / "exported")
    assert set(new.names()) == set(old.names())
    name = "model.embed_tokens.weight"
    assert torch.equal(new.rows(name, 3, 200), old.rows(name, 3, 200)), "letters are the same"
    last = size["rows"] - 9
    assert not torch.equal(new.rows(name, last, last + 9), old.rows(name, last, last + 9))
    applied, tuned = Checkpoint(scratch / "applied"), Checkpoint(scratch / "tuned")
    changed = f"model.layers.{size['layers'] - 1}.mlp.up_proj.weight"
    error = (applied.rows(changed, 0, 32) - tuned.rows(changed, 0, 32)).float().norm()
    assert error < tuned.rows(changed, 0, 32).float().norm(), "the pack is nearer than nothing"
    anatomy_of(new.config())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--layers", type=int, help="fewer than 80")
    parser.add_argument(
        "--changed", type=int, default=1, help="layers that the tuned model changed"
    )
    parser.add_argument("--scratch", type=Path, default=None, help="default: the system's")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--run", nargs=2, metavar=("STEP", "SCRATCH"))
    arguments = parser.parse_args()
    if arguments.run:
        run_here(arguments.run[0], Path(arguments.run[1]))
        return
    size = dict(SHAPES["small" if arguments.small else "70b"])
    size["layers"] = arguments.layers or size["layers"]
    scratch = Path(tempfile.mkdtemp(prefix="large-", dir=arguments.scratch))
    changed = {f"model.layers.{size['layers'] - 1 - i}." for i in range(arguments.changed)}

    def tuned(name: str) -> float:
        inside = any(name.startswith(head) for head in changed)
        return 0.02 * is_table(name) or 0.001 * inside

    try:
        write_sparse_checkpoint(scratch / "base", size, lambda name: 0.02 * is_table(name), 0)
        write_sparse_checkpoint(scratch / "tuned", size, tuned, 0)
        files = list((scratch / "base").glob("*.safetensors"))
        total = sum(file.stat().st_size for file in files)
        held = sum(512 * file.stat().st_blocks for file in files)
        print(f"{total / 1e9:.1f} GB in {len(files)} shards, {held / 1e9:.1f} GB of it written")
        for name in arguments.steps.split(","):
            command = [sys.executable, __file__, "--run", name, str(scratch)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name:<12}{found['seconds']:8.1f} s{found['cpu_seconds']:8.1f} s CPU"
                f"{found['anonymous'] / 1e6:8.0f} MB anonymous"
                f"{found['resident'] / 1e6:8.0f} MB resident", flush=True,
            )  # fmt: skip
        if arguments.steps == ",".join(STEPS):
            check(scratch, size)
            print("copied rows, the body and the change are where they belong")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
