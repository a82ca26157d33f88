"""What one sentence costs in several languages, under vocabularies made of one text.

    python benchmarks/parity.py TOKENIZER DATA sw=swh_Latn ta=tam_Taml -- extension parity_bpe

DATA is laid out as ``conf/data/sample.yaml`` says. Each option of ``vocab`` (with its settings
after commas: ``parity_bpe,window=100``) learns on ``mono/LANG.train.jsonl``; sentences that say the
same are SIB-200's: its training part is ``dev`` of ``parity_bpe`` (``parallel=no``: without), the
other parts are counted. Gini is that of tokens per sentence over the languages and English: 0 is
parity.
"""

import csv
import gzip
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

import franken

SIB_ENGLISH = "eng_Latn"


def main(arguments: list[str]) -> None:
    """Print a line for the base and for each option."""
    cut = arguments.index("--")
    place, data, *named = arguments[:cut]
    languages = dict(text.split("=") for text in named)
    root, base = Path(data), AutoTokenizer.from_pretrained(place)
    parts = {
        part: {lang: sentences(root, code, part) for lang, code in languages.items()}
        for part in ("train", "dev", "test")
    }
    held = {lang: parts["dev"][lang] + parts["test"][lang] for lang in languages}
    english = [line for part in ("dev", "test") for line in sentences(root, SIB_ENGLISH, part)]
    texts = {lang: lines(root / f"mono/{lang}.train.jsonl") for lang in languages}
    source = list(itertools.islice(lines(root / "mono/en.train.jsonl.gz"), 40_000))
    report("base", base, base, held, english, 0.0)
    for option in arguments[cut + 1 :]:
        name, *settings = option.split(",")
        values = {key: number(value) for key, value in (text.split("=") for text in settings)}
        with tempfile.TemporaryDirectory() as scratch:
            if name == "parity_bpe" and values.pop("parallel", "yes") == "yes":
                values["dev"] = written(Path(scratch), parts["train"])
            told: dict[str, object] = {}
            start = time.process_time()
            made = franken.build_vocab(
                base, name, texts=texts, source_texts=source, report=told, **values
            )
            taken = time.process_time() - start
        report(option, base, made, held, english, taken)
        print("   ", {key: told[key] for key in ("parts", "parity", "superbpe") if key in told})


def sentences(root: Path, code: str, part: str) -> list[str]:
    """SIB-200's sentences in the order of their numbers, which all languages share."""
    with open(root / f"eval/sib200/{code}/{part}.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["text"] for row in sorted(rows, key=lambda row: int(row["index_id"]))]


def lines(path: Path) -> list[str]:
    """The lines of the records of a file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [line for record in file for line in json.loads(record)["text"].splitlines() if line]


def written(directory: Path, parallel: dict[str, list[str]]) -> dict[str, str]:
    """A file of sentences for each language."""
    for language, found in parallel.items():
        directory.joinpath(language).write_text("\n".join(found), encoding="utf-8")
    return {language: str(directory / language) for language in parallel}


def number(text: str) -> object:
    """A setting as a number where it is one."""
    return int(text) if text.lstrip("-").isdigit() else float(text) if "." in text else text


def report(
    name: str, base: PreTrainedTokenizerBase, made: PreTrainedTokenizerBase,
    held: dict[str, list[str]], english: list[str], taken: float,
) -> None:  # fmt: skip
    """One option: tokens per sentence and per word, their spread, and what English notices."""
    texts = {"en": english, **held}
    costs, words, back = {}, {}, 0
    for language, found in texts.items():
        ids = [made(line, add_special_tokens=False).input_ids for line in found]
        costs[language] = sum(map(len, ids)) / len(found)
        words[language] = sum(map(len, ids)) / sum(len(line.split()) for line in found)
        back += sum(made.decode(i) != line for i, line in zip(ids, found, strict=True))
    same = sum(base.tokenize(line) == made.tokenize(line) for line in english) / len(english)
    print(
        f"{name}: {len(made)} tokens; per sentence "
        + ", ".join(f"{language} {cost:.1f}" for language, cost in costs.items())
        + "; per word " + ", ".join(f"{language} {cost:.2f}" for language, cost in words.items())
        + f"; targets max/min {max(costs[h] for h in held) / min(costs[h] for h in held):.2f}, "
        f"Gini {gini(list(costs.values())):.3f}; English same {100 * same:.1f} %; "
        f"round trips lost {back}; {taken:.0f} CPU s", flush=True,
    )  # fmt: skip


def gini(values: list[float]) -> float:
    """Mean absolute difference of all pairs over twice the mean."""
    size = len(values)
    gaps = sum(abs(a - b) for a in values for b in values)
    return gaps / (2 * size * sum(values))


if __name__ == "__main__":
    main(sys.argv[1:])
