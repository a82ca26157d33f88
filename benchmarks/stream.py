"""Long text in constant memory: tokenising, packing, counting and learning pieces, at two sizes.

    python benchmarks/stream.py [--megabytes 200] [--workers 2] [--keep DIRECTORY]

Text is made on the spot: words of a made-up language in Zipf's frequencies, a paragraph a line. A
task is a process of its own, run over an eighth of the text and over all of it; memory is what is
anonymous at most, of the process and of the busiest of those that it starts. ``gain`` compares wall
times of one process with several, and means something where as many cores are idle.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

TASKS = ("corpus", "packing", "counts", "pieces", "alignment")
ROWS = 8_000
LENGTH = 1024


def make_text(path: Path, megabytes: float) -> None:
    """A file of that size."""
    generator = np.random.default_rng(0)
    syllables = np.array([a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n")])
    words = ["".join(syllables[generator.integers(len(syllables), size=generator.integers(1, 5))])
             for _ in range(50_000)]  # fmt: skip
    weights = 1.0 / np.arange(3, len(words) + 3)
    weights /= weights.sum()
    left = int(megabytes * 1e6)
    with open(path, "w", encoding="utf-8") as out:
        while left > 0:
            drawn = generator.choice(len(words), size=200_000, p=weights)
            for start in range(0, len(drawn), 100):
                line = " ".join(words[n] for n in drawn[start : start + 100]) + "\n"
                left -= out.write(line)
                if left <= 0:
                    return


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
    started, extra = time.monotonic(), {}
    place = work / f"{size}-{workers}"
    if name == "corpus":
        corpus = write_corpus(
            lines_of(text, size), RecordEncoder(tokenizer), place, max_tokens=1 << 50,
            workers=workers,
        )  # fmt: skip
        extra = {"tokens": corpus.size.tokens}
    elif name == "packing":
        packer, cursor = Packer(open_corpus(work / f"{size}-1"), LENGTH, 0, whole=False), Cursor()
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
        "wall": wall, "cpu": times.user + times.system, "cpu_started": times.children_user,
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


def run(name: str, text: Path, work: Path, size: int, workers: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--task", name, "--text", str(text), "--keep", str(work),
               "--size", str(size), "--workers", str(workers)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    ended = subprocess.run(command, check=True, text=True, capture_output=True, env=environment)
    return json.loads(ended.stdout.splitlines()[-1])


def report(megabytes: float, workers: int, work: Path) -> None:
    """All tasks, as a table."""
    text = work / "text.txt"
    make_text(text, megabytes)
    tokenizer_of(text).save_pretrained(work / "tokenizer")
    whole = text.stat().st_size
    print(f"| task | processes | MB of text | wall, s | CPU, s | memory, MB | {'gain':>5} |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in TASKS:
        alone = 0.0
        for processes in (1, workers) if name == "corpus" and workers > 1 else (1,):
            for size in (whole // 8, whole):
                found = run(name, text, work, size, processes)
                cpu, memory = f"{found['cpu']:.1f}", f"{found['memory'] / 1e6:.0f}"
                if processes > 1:
                    cpu += f" + {found['cpu_started']:.1f}"
                    memory += f", {found['started'] / 1e6:.0f} each"
                gain = f"{alone / found['wall']:.2f}x" if processes > 1 and size == whole else ""
                print(f"| {name} | {processes} | {size / 1e6:.0f} | {found['wall']:.1f} | {cpu} | "
                      f"{memory} | {gain} |", flush=True)  # fmt: skip
                alone = found["wall"] if processes == 1 else alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="where the text and what is made of it stay")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--text", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task(options.task, options.text, options.keep, options.size, options.workers)
    elif options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        report(options.megabytes, options.workers, options.keep)
    else:
        with tempfile.TemporaryDirectory() as folder:
            report(options.megabytes, options.workers, Path(folder))


if __name__ == "__main__":
    main()
