"""Long text in constant memory: tokenising, packing, counting and learning pieces, by size.

    python benchmarks/stream.py [--megabytes 25 200] [--workers 2] [--keep DIRECTORY]
    python benchmarks/stream.py --megabytes 250 2000 --tasks bytes --keep DIRECTORY

``corpus`` tokenises to disk by byte-level BPE; ``bytes`` is the same path (shards, digests, parts,
the corpus) with the bytes of the text for ids, so that what remains is the path itself: two
gigabytes take a minute. Text is made on the spot: words of a made-up language in Zipf's
frequencies, a paragraph a line, repeated beyond 250 MB. A task is a process of its own over the
head of the text; times are from after the imports. Memory is what is anonymous at most above that
after the imports, of the process and of the busiest of those that it starts. ``gain`` compares wall
times of one process with several, the shortest of some rounds by turns, and means something where
as many cores are idle; ``at best`` is what processor times allow: those of one process over the
greater of a share of all and what no other can do.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TASKS = ("bytes", "corpus", "packing", "counts", "pieces", "alignment")
DRAWN = 250
ROWS = 8_000
LENGTH = 1024


def make_text(path: Path, megabytes: float) -> None:
    """A file of that size; what goes beyond :data:`DRAWN` megabytes repeats them."""
    generator = np.random.default_rng(0)
    syllables = np.array([a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n")])
    words = ["".join(syllables[generator.integers(len(syllables), size=generator.integers(1, 5))])
             for _ in range(50_000)]  # fmt: skip
    weights = 1.0 / np.arange(3, len(words) + 3)
    weights /= weights.sum()
    parts: list[str] = []
    drawn_size, wanted = 0, int(min(megabytes, DRAWN) * 1e6)
    while drawn_size < wanted:
        drawn = generator.choice(len(words), size=200_000, p=weights)
        for start in range(0, len(drawn), 100):
            parts.append(" ".join(words[n] for n in drawn[start : start + 100]) + "\n")
            drawn_size += len(parts[-1])
    block, left = "".join(parts).encode(), int(megabytes * 1e6)
    with open(path, "wb") as out:
        while left > 0:
            left -= out.write(block[:left])


def lines_of(path: Path, limit: int) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            limit -= len(line)
            if limit < 0:
                return
            yield line.rstrip("\n")


def tokenizer_of(path: Path):
    """Byte-level BPE learnt on the first two megabytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=ROWS, special_tokens=["<s>", "</s>"])
    made.train_from_iterator(lines_of(path, 2_000_000), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


class Bytes:
    """Texts as their bytes, in the place of a tokenizer."""

    id_count = 256

    def encode(self, records, max_length=None):
        from franken.data.encoding import Encoded

        made = (np.frombuffer(text.encode(), dtype=np.uint8) for text in records)
        return [Encoded(ids, 0, len(ids), truncated=False) for ids in made]


def task(name: str, text: Path, work: Path, size: int, workers: int) -> None:
    """Do one and print its figures."""
    from transformers import PreTrainedTokenizerFast

    from franken.alignment.common.bitext import read_bitext
    from franken.data.corpus import open_corpus, write_corpus
    from franken.data.encoding import RecordEncoder
    from franken.data.packing import Cursor, Packer
    from franken.tokenizer.learn import learn_pieces
    from franken.tokenizer.pipeline import pipeline_of
    from franken.tokenizer.sampling import usage_counts

    tokenizer = PreTrainedTokenizerFast.from_pretrained(work / "tokenizer")
    peak, done = [anonymous()], threading.Event()
    before = peak[0]
    watch = threading.Thread(target=_watch, args=(peak, done), daemon=True)
    watch.start()
    started, spent, extra = time.monotonic(), time.process_time(), {}
    place = work / f"{name}-{size}-{workers}"
    if name in ("bytes", "corpus"):
        encoder = Bytes() if name == "bytes" else RecordEncoder(tokenizer)
        corpus = write_corpus(
            lines_of(text, size), encoder, place, max_tokens=1 << 50, workers=workers
        )
        extra = {"tokens": corpus.size.tokens}
    elif name == "packing":  # of what `corpus` made
        packer, cursor = (
            Packer(open_corpus(work / f"corpus-{size}-1"), LENGTH, 0, whole=False),
            Cursor(),
        )
        taken = packer.corpus.size.tokens // LENGTH
        for _ in range(taken):
            pieces, cursor = packer.take(cursor)
            for piece in pieces:
                np.asarray(packer.corpus.tokens[piece.start : piece.stop], dtype=np.int64)
        extra = {"sequences": taken}
    elif name == "counts":
        found = usage_counts(tokenizer.backend_tokenizer, lines_of(text, size), len(tokenizer))
        extra = {"tokens": int(found.sum())}
    elif name == "pieces":
        streams = {"xx": lambda: lines_of(text, size)}
        learned = learn_pieces(pipeline_of(tokenizer), streams, 2_000)
        extra = {"pieces": len(learned.pieces)}
    else:
        bitext = read_bitext((line, line) for line in lines_of(text, size))
        extra = {"pairs": len(bitext)}
    wall = time.monotonic() - started
    done.set()
    watch.join()
    times = os.times()
    print(json.dumps({
        "wall": wall, "cpu": time.process_time() - spent,
        "cpu_started": times.children_user + times.children_system,
        "memory": peak[0] - before, "started": peak[1] if len(peak) > 1 else 0, **extra,
    }))  # fmt: skip


def _watch(peak: list[int], done: threading.Event) -> None:
    peak.append(0)
    while not done.wait(0.05):
        peak[0] = max(peak[0], anonymous())
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        for pid in children.read_text().split() if children.exists() else []:
            peak[1] = max(peak[1], anonymous(pid))


def anonymous(pid: str = "self") -> int:
    """Bytes of memory of a process that no file stands behind."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0].split()[1]) * 1024 if found else 0


def run(
    name: str, text: Path, work: Path, size: int, workers: int, anew: bool = False
) -> dict[str, float]:
    """Figures of a task; ``anew``: what an earlier one made is removed first."""
    if anew:
        shutil.rmtree(work / f"{name}-{size}-{workers}", ignore_errors=True)
    command = [sys.executable, __file__, "--task", name, "--text", str(text), "--keep", str(work),
               "--size", str(size), "--workers", str(workers)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, check=True, text=True, capture_output=True, env=environment)
    return json.loads(ended.stdout.splitlines()[-1])


def report(options: argparse.Namespace, work: Path) -> None:
    """All tasks, as a table."""
    text, sizes = work / "text.txt", [int(size * 1e6) for size in sorted(options.megabytes)]
    if not text.exists() or text.stat().st_size < sizes[-1]:
        make_text(text, sizes[-1] / 1e6)
    if not (work / "tokenizer").exists():
        tokenizer_of(text).save_pretrained(work / "tokenizer")
    print("| task | processes | MB of text | wall, s | CPU, s | memory, MB | gain | at best |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in options.tasks:
        written = name in ("bytes", "corpus")
        several = [options.workers] if written and options.workers > 1 else []
        for size in sizes:
            rounds = [
                {count: run(name, text, work, size, count, written)
                 for count in (1, *several)}
                for _ in range(options.rounds)
            ]  # fmt: skip
            for count in (1, *several):
                print(_line(name, size, count, rounds), flush=True)


def _line(name: str, size: int, processes: int, rounds: list[dict[int, dict[str, float]]]) -> str:
    found = min((one[processes] for one in rounds), key=lambda one: one["wall"])
    alone = min((one[1] for one in rounds), key=lambda one: one["wall"])
    cells = [f"{found['cpu']:.1f}", f"{found['memory'] / 1e6:.0f}", "", ""]
    if processes > 1:
        cells[0] += f" + {found['cpu_started']:.1f}"
        cells[1] += f", {found['started'] / 1e6:.0f} each"
        least = max((found["cpu"] + found["cpu_started"]) / processes, found["cpu"])
        cells[2:] = [f"{alone['wall'] / found['wall']:.2f}x", f"{alone['cpu'] / least:.2f}x"]
    return f"| {name} | {processes} | {size / 1e6:.0f} | {found['wall']:.1f} | " + (
        " | ".join(cells) + " |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[25, 200])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="where the text and what is made of it stay")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task(options.task, options.text, options.keep, options.size, options.workers)
    elif options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        report(options, options.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(options, Path(folder))


if __name__ == "__main__":
    main()
