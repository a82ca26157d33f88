"""IBM Model 1 in the tree against compiled aligners, in one run on the same synthetic text.

    python benchmarks/align.py                       # 200,000 sentence pairs
    python benchmarks/align.py --pairs 2000 --repeats 1

Text: a Zipfian lexicon, 5 to 15 words, two translations a word (80 / 20), 15 % of neighbours
swapped, 10 % of words dropped, 5 % noise inserted; gold links known. Compared with
``systran-align`` (the same model, both directions) and ``eflomal-align`` (a better one), where
these are installed. Every contender is timed from two text files to links or a word table.
"""

import argparse
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import Bitext, by_space, read_bitext
from franken.alignment.common.formats import read_pharaoh
from franken.alignment.common.links import Links, from_sentences
from franken.alignment.ibm1 import Ibm1Alignment, align_bitext, train, viterbi

Sentences = list[str]


def synthetic(
    count: int, words: int, seed: int = 0
) -> tuple[Sentences, Sentences, list[list[tuple[int, int]]]]:
    """Sentences of both languages and their gold links."""
    rng = np.random.default_rng(seed)
    odds = 1 / np.arange(1, words + 1)
    odds /= odds.sum()
    senses = rng.integers(0, words, (words, 2))
    sources, targets, gold = [], [], []
    for length in rng.integers(5, 16, count).tolist():
        source = rng.choice(words, length, p=odds)
        target = senses[source, (rng.random(length) < 0.2).astype(int)].tolist()
        order = list(range(length))
        for place in np.flatnonzero(rng.random(length - 1) < 0.15).tolist():
            order[place], order[place + 1] = order[place + 1], order[place]
        order = [place for place in order if rng.random() > 0.1] or order[:1]
        line, links = [], []
        for place in order:
            if rng.random() < 0.05:
                line.append(f"t{rng.integers(words)}")
            links.append((place, len(line)))
            line.append(f"t{target[place]}")
        sources.append(" ".join(f"s{word}" for word in source.tolist()))
        targets.append(" ".join(line))
        gold.append(links)
    return sources, targets, gold


class PeakMemory:
    """Highest resident memory of this process above that at entry (Linux)."""

    def __enter__(self) -> "PeakMemory":
        Path("/proc/self/clear_refs").write_text("5")
        self._start = self._status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        self.gigabytes = (self._status("VmHWM") - self._start) / 1e6

    @staticmethod
    def _status(name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def best_of(
    repeats: int, run: Callable[[], object], clock: Callable[[], float]
) -> tuple[float, float]:
    """Least seconds, most memory."""
    seconds, memory = [], []
    for _ in range(repeats):
        with PeakMemory() as peak:
            start = clock()
            run()
            seconds.append(clock() - start)
        memory.append(peak.gigabytes)
    return min(seconds), max(memory)


def quality(found: Links, gold: Links) -> str:
    one, two = (set(map(tuple, links.tolist())) for links in (found, gold))
    precision, recall = len(one & two) / len(one), len(one & two) / len(two)
    return (
        f"P {precision:.3f}  R {recall:.3f}  F {2 * precision * recall / (precision + recall):.3f}"
    )


def read(source: Path, target: Path) -> Bitext:
    with open(source, encoding="utf-8") as left, open(target, encoding="utf-8") as right:
        return read_bitext(zip(left, right, strict=True), splitter=by_space)


def run_systran(source: Path, target: Path, folder: Path) -> None:
    """Same model: no diagonal, no prior; p(t | s) and p(s | t), then links of every pair."""
    import systran_align

    joined = folder / "joined"
    with open(source) as left, open(target) as right, open(joined, "w") as out:
        out.writelines(f"{s.strip()} ||| {t}" for s, t in zip(left, right, strict=True))
    probabilities = str(folder / "forward"), str(folder / "backward")
    systran_align.generate_alignment_probabilities(str(joined), *probabilities, iterations=7)
    aligner = systran_align.Aligner(*probabilities)
    with open(source) as left, open(target) as right:
        for s, t in zip(left, right, strict=True):
            aligner.align(s.split(), t.split())


def run_eflomal(source: Path, target: Path, folder: Path) -> None:
    subprocess.run(
        [
            "eflomal-align", "-s", str(source), "-t", str(target), "--overwrite",
            "-f", str(folder / "forward"), "-r", str(folder / "backward"),
        ],
        check=True, capture_output=True,
    )  # fmt: skip


def has_systran() -> bool:
    try:
        import systran_align  # noqa: F401
    except ImportError:
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200_000, help="sentence pairs")
    parser.add_argument("--words", type=int, default=30_000, help="words of the lexicon")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--processor-time", action="store_true",
        help="count it instead of wall time, where others use the machine",
    )  # fmt: skip
    options = parser.parse_args()
    sources, targets, gold = synthetic(options.pairs, options.words)
    with TemporaryDirectory() as name:
        folder = Path(name)
        source, target = folder / "source", folder / "target"
        source.write_text("\n".join(sources) + "\n")
        target.write_text("\n".join(targets) + "\n")
        compare(options, source, target, folder, gold)


def compare(
    options: argparse.Namespace, source: Path, target: Path, folder: Path,
    gold: list[list[tuple[int, int]]],
) -> None:  # fmt: skip
    repeats, config = options.repeats, Ibm1Alignment()
    clock = time.process_time if options.processor_time else time.perf_counter
    both = Ibm1Alignment(symmetrise=Symmetry.grow_diag_final_and)
    bitext = read(source, target)
    links = from_sentences(bitext, gold)
    print(f"{len(bitext)} sentence pairs, {len(bitext.target.ids)} target words, one thread")
    reading, _ = best_of(repeats, lambda: read(source, target), clock)
    print(f"reading the text            {reading:8.2f} s")
    one, memory = best_of(repeats, lambda: align_bitext(bitext, config), clock)
    found = quality(viterbi(train(bitext, config)), links)
    print(f"ibm1, one direction         {one:8.2f} s {memory:6.2f} GB   {found}")
    two, memory = best_of(repeats, lambda: align_bitext(bitext, both), clock)
    print(f"ibm1, both and symmetrised  {two:8.2f} s {memory:6.2f} GB")
    if has_systran():
        seconds, memory = best_of(repeats, lambda: run_systran(source, target, folder), clock)
        print(f"systran-align, both         {seconds:8.2f} s {memory:6.2f} GB")
        print(f"  its time / ours           {seconds / (two + reading):8.2f} x  (both directions)")
    else:
        print("systran-align is not installed: no comparison with it (pip install systran-align)")
    if shutil.which("eflomal-align"):
        seconds, _ = best_of(
            repeats, lambda: run_eflomal(source, target, folder), time.perf_counter
        )
        found = quality(read_pharaoh(folder / "forward", bitext), links)
        print(f"eflomal-align, both         {seconds:8.2f} s             {found} (forward)")
        print(f"  its time / ours           {seconds / (two + reading):8.2f} x  (both directions)")
    else:
        print("eflomal-align is not installed: no comparison with it (pip install eflomal)")


if __name__ == "__main__":
    main()
